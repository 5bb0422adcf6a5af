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
    for config, seccomp in ((_config(seccomp=BLOCK), BLOCK), (_config(), {})):
        (requests / TOKEN).write_text("")
        with pytest.raises(Captured, match="starts no process"):
            _take(requests, config)
        record = json.loads((requests / TOKEN).read_text())
        assert record == {"bounding": ["CAP_BPF", "CAP_KILL"], "seccomp": seccomp}


def test_what_root_did_not_ask_for_is_an_ordinary_container(requests: Path, tmp_path: Path) -> None:
    """Nor what a link in the directory or another name in it leads to."""
    shorter, other, link = TOKEN[:21], TOKEN.upper(), "a" * 32
    for file in (requests / shorter, requests / other, tmp_path / "elsewhere"):
        file.touch()
    (requests / link).symlink_to(tmp_path / "elsewhere")
    odd = ("f" * 32, "0123", "\\u0030" * 6, "", f"../capture/{shorter}", other, link)
    for token in odd:
        _take(requests, _config(token, seccomp=BLOCK))
    assert {path.name for path in requests.iterdir()} == {TOKEN, shorter, other, link}
    assert {path.read_bytes() for path in requests.iterdir()} == {b""}


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
