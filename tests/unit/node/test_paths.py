"""Where things are beneath one prefix, and which prefix is ours."""

import sys
from pathlib import Path

import pytest

from runc_wrap.node import paths


def test_an_installed_program_knows_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    others = "/srv/x/lib/releases/0.1.0-abc/env /srv/x/lib/0.1.0-abc/venv /srv/x/.venv /usr /venv"
    others += " /srv/x/releases/0.1.0-abc/venv /releases/0.1.0-abc/venv"
    for venv in others.split():
        monkeypatch.setattr(sys, "prefix", venv)
        assert paths.installed().prefix == Path("/opt/runc-wrap")
    monkeypatch.setattr(sys, "prefix", "/srv/x/lib/releases/0.1.0-abc/venv")
    assert paths.installed().prefix == Path("/srv/x")
