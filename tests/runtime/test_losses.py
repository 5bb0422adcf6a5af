"""Records that the kernel itself drops: the report says so, and trusts its verdict less."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING, Any

from tests.support import agent as agents
from tests.support.processes import run, wait_until
from tests.support.requirements import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.runtime.conftest import Pair
    from tests.support.bundles import Bundle
    from tests.support.install import Installed

UNSHARE, MANY = 272, 300


@contextlib.contextmanager
def _rate_limit(messages: int) -> Iterator[None]:
    """Have the kernel log so many records a second at most."""
    run([program("auditctl"), "-r", str(messages)])
    try:
        yield
    finally:
        run([program("auditctl"), "-r", "0"])


def test_records_that_a_rate_limit_held_back_are_said_to_be_lost_and_lower_the_confidence(
    runc: Pair,
    node: Installed,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> None:
    def called(times: int) -> Bundle:
        bundle = make_bundle(runc.kind)
        shutil.copy(built("short"), bundle.path / "rootfs" / "short")
        config = bundle.read()
        config["process"]["args"] = ["/short", str(times), str(UNSHARE)]
        bundle.config.write_text(json.dumps(config))
        assert bundle.call(node.wrapper, "run").returncode == 0
        return bundle

    def reported(bundle: Bundle) -> dict[str, Any]:
        told = node.control("report", "--json", ok=False).stdout
        found = [one for one in json.loads(told) if bundle.name in one["ids"]]
        return dict(found[0]) if found else {}

    node.configure('runtime = ["runc"]\n[default]\nmode = "audit"\n')
    with agents.running(node):
        before = called(3)
        wait_until(lambda: bool(reported(before).get("calls")), "its calls in the report")
        assert reported(before)["lost"] == 0
        with _rate_limit(1):
            flooding = called(MANY)
            wait_until(lambda: reported(flooding).get("lost", 0) > 0, "the loss in the report")
    found = reported(flooding)
    counted = sum(call["count"] for call in found["calls"])
    assert counted < MANY <= counted + found["lost"]
    assert f"meanwhile {found['lost']} records lost" in found["confidence"]
