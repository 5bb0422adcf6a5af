"""The ledger, as real creates write it."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

from harness.kernel import process_status
from runc_wrap.hotpath import json_codec

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtime.conftest import Lab


def test_each_create_writes_one_line_with_its_decision(lab: Lab) -> None:
    bundle = lab.bundle()
    bundle.create(lab.wrapped)
    line = lab.installed.ledger()[-1]
    assert line["id"] == bundle.name
    assert line["bundle"] == str(bundle.path)
    assert line["root"] == str(bundle.path / "state")
    assert line["pid_file"] == str(bundle.path / "pid")
    assert (line["action"], line["mode"], line["engine"]) == ("inject", "enforce", "unknown")
    assert 0 < line["seconds"] < 10
    block = json_codec.dumps(bundle.read()["linux"]["seccomp"])
    assert line["digest"] == hashlib.blake2b(block, digest_size=32).hexdigest()


def test_a_command_that_creates_nothing_leaves_no_line(lab: Lab) -> None:
    bundle = lab.bundle()
    bundle.create(lab.wrapped)
    before = lab.installed.ledger()[-1]
    bundle.call(lab.wrapped, "state")
    bundle.call(lab.wrapped, "delete", "--force")
    assert lab.installed.ledger()[-1] == before


def test_a_container_starts_although_the_ledger_cannot_be_written(runc: Lab) -> None:
    ledger = runc.installed.prefix / "var" / "ledger"
    ledger.mkdir(0o700, exist_ok=True)
    aside = ledger.with_name("aside")
    aside.write_text("a file in its place")
    _exchange(ledger, aside)
    try:
        assert process_status.seccomp(runc.bundle().create(runc.wrapped)) == 2
        assert ledger.is_file()
    finally:
        _exchange(ledger, aside)
        aside.unlink()


def _exchange(one: Path, other: Path) -> None:
    """In one step: whoever writes a line meanwhile makes a missing directory anew."""
    subprocess.run(["mv", "--exchange", "--no-target-directory", one, other], check=True)
