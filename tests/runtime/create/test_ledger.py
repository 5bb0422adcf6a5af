"""The ledger, as real creates write it."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

from harness.kernel import process_status
from runc_wrap.hotpath import json_codec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Pair


def test_each_create_writes_one_line_with_its_decision(
    pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(pair.kind)
    bundle.create(pair.wrapped)
    line = pair.installed.ledger()[-1]
    assert line["id"] == bundle.name
    assert line["bundle"] == str(bundle.path)
    assert line["root"] == str(bundle.path / "state")
    assert line["pid_file"] == str(bundle.path / "pid")
    assert (line["action"], line["mode"], line["engine"]) == ("inject", "enforce", "unknown")
    assert 0 < line["seconds"] < 10
    block = json_codec.dumps(bundle.read()["linux"]["seccomp"])
    assert line["digest"] == hashlib.blake2b(block, digest_size=32).hexdigest()


def test_an_opt_out_is_recorded(pair: Pair, make_bundle: Callable[..., Bundle]) -> None:
    bundle = make_bundle(pair.kind, {"runc-wrap/seccomp": "unconfined"})
    bundle.create(pair.wrapped)
    line = pair.installed.ledger()[-1]
    assert (line["id"], line["action"], line["declared"]) == (bundle.name, "leave", "unconfined")
    assert line["digest"] is None


def test_a_command_that_creates_nothing_leaves_no_line(
    pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(pair.kind)
    bundle.create(pair.wrapped)
    before = pair.installed.ledger()[-1]
    bundle.call(pair.wrapped, "state")
    bundle.call(pair.wrapped, "delete", "--force")
    assert pair.installed.ledger()[-1] == before


def test_a_container_starts_although_the_ledger_cannot_be_written(
    runc: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    ledger = runc.installed.prefix / "var" / "ledger"
    ledger.mkdir(0o700, exist_ok=True)
    aside = ledger.with_name("aside")
    aside.write_text("a file in its place")
    _exchange(ledger, aside)
    try:
        assert process_status.seccomp(make_bundle("runc").create(runc.wrapped)) == 2
        assert ledger.is_file()
    finally:
        _exchange(ledger, aside)
        aside.unlink()


def _exchange(one: Path, other: Path) -> None:
    """In one step: whoever writes a line meanwhile makes a missing directory anew."""
    subprocess.run(["mv", "--exchange", "--no-target-directory", one, other], check=True)
