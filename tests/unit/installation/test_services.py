"""Whose units there are already."""

from __future__ import annotations

from pathlib import Path

import pytest

from runc_wrap.host import systemd
from runc_wrap.installation import services

UNIT = "runc-wrap-decide.service"


@pytest.mark.parametrize(
    ("prefix", "others"),
    [("/opt/runc-wrap", "/srv/opt/runc-wrap"), ("/opt/runc-wrap", "/opt/runc-wrap-2")],
)
@pytest.mark.parametrize("place", ["UNITS", "VENDOR"])
def test_units_are_anothers_unless_they_name_this_very_prefix(
    prefix: str, others: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    monkeypatch.setattr(systemd, place, tmp_path)
    unit = tmp_path / UNIT
    for its, told in ((others, f"{unit} is another installation's"), (prefix, "")):
        unit.write_text(f"[Service]\nExecStart={its}/bin/runc-wrapctl --prefix {its} agent\n")
        assert services.obstacle(Path(prefix), [UNIT]) == told
        assert list(services.installed(Path(prefix), [UNIT])) == [UNIT] * (
            not told and place == "UNITS"
        )
