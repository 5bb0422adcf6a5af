"""Where things are beneath one prefix, and which prefix is ours."""

import sys
from pathlib import Path

import pytest

from runc_wrap.node import paths


@pytest.mark.parametrize(
    ("venv", "prefix"),
    [
        ("/srv/x/lib/releases/0.1.0-abc/venv", "/srv/x"),
        ("/srv/x/lib/releases/0.1.0-abc/env", "/opt/runc-wrap"),
        ("/srv/x/lib/0.1.0-abc/venv", "/opt/runc-wrap"),
        ("/srv/x/releases/0.1.0-abc/venv", "/opt/runc-wrap"),
        ("/releases/0.1.0-abc/venv", "/opt/runc-wrap"),
        ("/srv/x/.venv", "/opt/runc-wrap"),
        ("/usr", "/opt/runc-wrap"),
        ("/venv", "/opt/runc-wrap"),
    ],
)
def test_an_installed_program_knows_its_prefix(
    venv: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", venv)
    assert paths.installed().prefix == Path(prefix)
