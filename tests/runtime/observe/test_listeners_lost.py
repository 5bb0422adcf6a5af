"""An agent that dies with its listeners leaves observed containers without one: reported."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.host.processes import wait_until
from harness.node import agent as agents
from runc_wrap.node.container_state import lost_listeners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.containers.bundles import Bundle
    from harness.node.install import Installed


def lose(node: Installed) -> None:
    """Kill the service, which nobody starts again, like the end of its pod."""
    agents.end_all(node.prefix)
    wait_until(lambda: not any(agents.processes(node.prefix, role) for role in agents.ROLES), "it")


def found(node: Installed) -> dict[str, list[Any]]:
    """Return the containers whose listener verify and status report lost."""
    told = node.control("verify", "--json", ok=False)
    lost = [one for one in json.loads(told.stdout)["disagreeing"] if "listener" in one["found"]]
    assert told.returncode == bool(lost)
    rows = json.loads(node.control("status", "--json").stdout)
    return {
        "verify": [(one["id"], one["pid"]) for one in lost],
        "status": [(row["id"], one["pid"]) for row in rows for one in row["unheard"]],
    }


def doctors(node: Installed) -> list[str]:
    """Return what doctor says of lost listeners, which takes it longer."""
    findings = json.loads(node.control("doctor", "--json", ok=False).stdout)["findings"]
    return [one["sentence"] for one in findings if one["check"] == "listeners"]


NOTHING: dict[str, list[Any]] = {"verify": [], "status": []}


def brought(node: Installed, bundle: Bundle) -> int:
    """Start another process in the container, as `kubectl exec` does; return its pid."""
    before = {*sleeping(bundle)}
    done = bundle.call(node.wrapper, "exec", "--detach", after=("/bin/sleep", "999"))
    assert done.returncode == 0, done.stdout
    wait_until(lambda: {*sleeping(bundle)} != before, "its command line, which comes late")
    (pid,) = {*sleeping(bundle)} - before
    return pid


def sleeping(bundle: Bundle) -> Iterator[int]:
    """Yield the processes that were brought in."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names
        if words(pid) == b"/bin/sleep\x00999\x00" and is_in(pid, bundle):
            yield int(pid)


def words(pid: str) -> bytes:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
        return file.read()
    return b""


def is_in(pid: str, bundle: Bundle) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cgroup") as file:  # noqa: PTH123
        return bundle.name in file.read()
    return False


def test_only_lost_listeners_are_found(node: Installed, make_bundle: Callable[..., Bundle]) -> None:
    lost, audited = (make_bundle(node_kind(node)) for _ in range(2))
    with agents.running(node):
        first = lost.create(node.wrapper)
        assert (found(node), doctors(node)) == (NOTHING, [])
        second = brought(node, lost)
        assert found(node) == NOTHING
        lose(node)
        audited.create(node.wrapper)  # without an agent its mode is audit
        told = found(node)
        assert sorted(told["verify"]) == sorted([(lost.name, first), (lost.name, second)])
        assert sorted(told["status"]) == sorted(told["verify"])
        assert [lost.name in sentence for sentence in doctors(node)] == [True]
        said = node.control("verify", ok=False).stdout
        assert "fails with ENOSYS; restart the container" in said
        assert "fails with ENOSYS; restart the container" in node.control("status").stdout


@pytest.mark.parametrize("pair", ["runc"], indirect=True)  # no runtime has a part in it
def test_another_agent_does_not_have_them(
    node: Installed, make_bundle: Callable[..., Bundle]
) -> None:
    lost = make_bundle(node_kind(node))
    with agents.running(node) as agent:
        os.kill(agent.observe, signal.SIGSTOP)  # a busy one, which dies before it takes it in
        first = lost.create(node.wrapper)
        lose(node)
    good = make_bundle(lost.kind)
    with agents.running(node):
        good.create(node.wrapper)
        brought(node, lost)  # this one has its listener
        time.sleep(lost_listeners._ARRIVING)  # noqa: SLF001 - none is accused before
        assert [pid for _, pid in found(node)["verify"]] == [first]
        judged = node.workload(lost.name)
        assert judged["verdict"] is None
        assert "records may have been lost while its containers ran" in judged["reason"]


def node_kind(node: Installed) -> str:
    return next(kind for kind in ("runc", "crun") if (node.prefix / "lib/runtime" / kind).exists())


def test_no_listener_is_reported_lost_while_the_service_is_replaced(
    node: Installed, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(node_kind(node))
    with agents.supervised(node) as agent:
        bundle.create(node.wrapper)
        brought(node, bundle)
        os.kill(agent.observe, signal.SIGKILL)
        assert found(node) == NOTHING
        agent.wait_both()
        agent.control("restart", "runc-wrap-observe")
        assert found(node) == NOTHING
