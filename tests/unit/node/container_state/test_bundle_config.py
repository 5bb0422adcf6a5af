"""A bundle on a file system that does not answer costs a command a bounded time."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from runc_wrap.hotpath import config_file
from runc_wrap.hotpath.config_file import Found
from runc_wrap.hotpath.decision import OWN_PROFILE
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.node.container_state import bundle_config, deep_verify
from runc_wrap.node.container_state.kept_defaults import Recognizer

HANGS = 300.0  # seconds: far more than a command may wait


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bundle whose config is not read to its end, as on FUSE without a server."""
    read, caller = config_file.read, os.getpid()

    def hangs(path: str, largest: int = 1 << 20) -> Found:
        if path.startswith(f"{tmp_path}/hangs/"):
            assert os.getpid() != caller, "it is read in the command's own process"
            threading.Event().wait(HANGS)
        return read(path, largest)

    monkeypatch.setattr(config_file, "read", hangs)
    monkeypatch.setattr(bundle_config, "SECONDS", 0.2)
    return f"{tmp_path}/hangs"


def test_it_is_refused_in_time_and_many_of_them_too(hanging: str) -> None:
    reader, begun = bundle_config.Reader(0.4), time.monotonic()
    for _ in range(5):
        with pytest.raises(Refusal, match="the file system does not answer"):
            reader.text(hanging)
    assert time.monotonic() - begun < HANGS


def test_commands_do_not_wait_for_it(hanging: str) -> None:
    line = {"id": "one", "bundle": hanging, "action": "keep", "declared": OWN_PROFILE}
    recognizer = Recognizer({}, lambda _: pytest.fail("there is no profile to compare"))
    assert recognizer.of_record(ledger_record.of(line)) == ""
    with pytest.raises(Refusal, match="does not answer"):
        deep_verify.block_of(hanging)


def test_what_a_create_reads_is_read_whatever_its_size_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its author would otherwise keep his container unverified, by characters of two bytes."""
    monkeypatch.setattr(bundle_config, "SECONDS", HANGS)
    for text in (b"{}", b"\xff\x00 no JSON", "é".encode() * (config_file.LARGEST // 2)):
        (tmp_path / "config.json").write_bytes(text)
        assert bundle_config.Reader(HANGS).text(str(tmp_path)) == text


def test_what_is_not_there_is_refused_as_ever(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r'config\.json" cannot be read: it does not exist'):
        bundle_config.text(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"linux": {"seccomp": {"x": 1}}}))
    assert deep_verify.block_of(str(tmp_path)) == {"x": 1}
