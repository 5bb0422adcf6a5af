"""Which sources of records the running agent says to deliver."""

import json
from pathlib import Path

import pytest

from runc_wrap.evidence.sources import source_status
from runc_wrap.host import procfs


@pytest.mark.parametrize(("later", "found"), [(0, {"audit": ""}), (1, {})])
def test_an_ended_agents_pid_that_another_process_has_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: int, found: dict[str, str]
) -> None:
    monkeypatch.setattr(procfs, "is_initial", lambda _: True)
    source_status.write(str(tmp_path), {"audit": ""})
    path = tmp_path / source_status.NAME
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "start": fields["start"] - later}))
    assert source_status.read(tmp_path) == found
