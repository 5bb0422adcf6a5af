"""The record of nightly targets: what failed, is old or never ran is said."""

import datetime as dt
from pathlib import Path

import pytest

from tests import nightly


def test_what_did_not_pass_within_ten_days_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly, "RECORD", tmp_path / "nightly.toml")
    today, names = dt.datetime.now(dt.UTC).date(), ["true", "false", "never"]
    assert [nightly.main([name, name]) for name in names[:2]] == [0, 1]
    found = nightly.load()
    for days, old in ((10, names[1:]), (12, names)):
        late = today + dt.timedelta(days)
        assert [name for name in names if nightly.is_old(found.get(name), late)] == old
