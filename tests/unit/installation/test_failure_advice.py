"""What an installation advises about its failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from runc_wrap.installation import installer

PREFIX = Path("/opt/runc-wrap")
CAPTURE = "docker is installed and its default is not captured; run `runc-wrapctl profile capture`"


@pytest.mark.parametrize(
    ("said", "is_first", "names_what_is_missing"),
    [
        (CAPTURE, True, True),
        (CAPTURE, False, False),
        ("default.mode is 'enfroce'", True, False),
    ],
)
def test_a_first_installation_does_not_send_anybody_to_a_program_that_is_not_installed(
    said: str, *, is_first: bool, names_what_is_missing: bool
) -> None:
    advice = installer.policy_advice(said, PREFIX, is_first=is_first)
    assert ("runc-wrapctl, which is not installed yet" in advice) is names_what_is_missing
    assert "run install.sh again" in advice
