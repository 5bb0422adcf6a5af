"""A create records its profile only for a request that root has made, and then it never starts."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.hotpath import captured_block, main
from runc_wrap.hotpath.errors import Captured, Refusal

TOKEN = "0123456789abcdef" * 2
BLOCK = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}


def _config(token: str = TOKEN, **linux: Any) -> bytes:
    process = {
        "env": ["PATH=/bin", f"RUNC_WRAP_CAPTURE={token}"],
        "capabilities": {"bounding": ["CAP_KILL", "CAP_BPF"]},
    }
    return json.dumps({"process": process, "linux": linux}).encode()


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    directory = tmp_path / "var" / "capture"
    directory.mkdir(parents=True)
    (directory / TOKEN).touch()
    return directory


def _take(requests: Path, text: bytes) -> None:
    found = text.index(main.CAPTURE) + len(main.CAPTURE)
    captured_block.take(str(requests.parents[1]), text, found)


def test_the_block_and_the_bounding_set_are_recorded(requests: Path) -> None:
    with pytest.raises(Captured, match="starts no process"):
        _take(requests, _config(seccomp=BLOCK))
    record = json.loads((requests / TOKEN).read_text())
    assert record == {"bounding": ["CAP_BPF", "CAP_KILL"], "seccomp": BLOCK}


def test_a_container_without_a_profile_is_recorded_too(requests: Path) -> None:
    with pytest.raises(Captured):
        _take(requests, _config())
    assert json.loads((requests / TOKEN).read_text())["seccomp"] == {}


@pytest.mark.parametrize("token", ["f" * 32, "0123", "\\u0030" * 6, ""])
def test_what_root_has_not_asked_for_is_an_ordinary_container(requests: Path, token: str) -> None:
    _take(requests, _config(token, seccomp=BLOCK))
    assert (requests / TOKEN).read_bytes() == b""
    assert [path.name for path in requests.iterdir()] == [TOKEN]


@pytest.mark.parametrize("token", ["../capture/" + TOKEN[:21], TOKEN.upper()])
def test_only_the_name_of_a_request_leads_to_a_file(requests: Path, token: str) -> None:
    other = requests / token.removeprefix("../capture/")
    other.touch()
    _take(requests, _config(token, seccomp=BLOCK))
    assert other.read_bytes() == b""


def test_a_request_that_is_a_link_is_nobodys(requests: Path, tmp_path: Path) -> None:
    (requests / TOKEN).unlink()
    (requests / TOKEN).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").touch()
    _take(requests, _config(seccomp=BLOCK))
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_a_record_that_cannot_be_written_is_a_failure(requests: Path) -> None:
    (requests / TOKEN).unlink()
    os.mkfifo(requests / TOKEN)
    reader = os.open(requests / TOKEN, os.O_RDONLY | os.O_NONBLOCK)
    config = _config(seccomp={**BLOCK, "listenerMetadata": "x" * 200_000})
    try:
        with pytest.raises(Refusal, match="cannot be written"):
            _take(requests, config)
    finally:
        os.close(reader)
