"""An agent that dies with its listeners leaves observed containers without one: reported."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from harness.host.processes import wait_until
from harness.node import agent as agents
from runc_wrap.node.container_state import lost_listeners

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.containers.bundles import Bundle
    from harness.node.install import Installed
    from tests.runtime.conftest import Lab


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


def test_only_lost_listeners_are_found(lab: Lab) -> None:
    lost, audited = (lab.bundle() for _ in range(2))
    with agents.running(lab.node):
        first = lost.create(lab.wrapper)
        assert (found(lab.node), doctors(lab.node)) == (NOTHING, [])
        second = brought(lab.node, lost)
        assert found(lab.node) == NOTHING
        lose(lab.node)
        audited.create(lab.wrapper)  # without an agent its mode is audit
        told = found(lab.node)
        assert sorted(told["verify"]) == sorted([(lost.name, first), (lost.name, second)])
        assert sorted(told["status"]) == sorted(told["verify"])
        assert [lost.name in sentence for sentence in doctors(lab.node)] == [True]
        said = lab.node.control("verify", ok=False).stdout
        assert "fails with ENOSYS; restart the container" in said
        assert "fails with ENOSYS; restart the container" in lab.node.control("status").stdout


def test_another_agent_does_not_have_them(lab: Lab) -> None:
    lost = lab.bundle()
    with agents.running(lab.node) as agent:
        os.kill(agent.observe, signal.SIGSTOP)  # a busy one, which dies before it takes it in
        first = lost.create(lab.wrapper)
        lose(lab.node)
    good = lab.bundle()
    with agents.running(lab.node):
        good.create(lab.wrapper)
        brought(lab.node, lost)  # this one has its listener
        time.sleep(lost_listeners._ARRIVING)  # noqa: SLF001 - none is accused before
        assert [pid for _, pid in found(lab.node)["verify"]] == [first]
        judged = lab.workload(lost)
        assert judged["verdict"] is None
        assert "records may have been lost while its containers ran" in judged["reason"]


def test_no_listener_is_reported_lost_while_the_service_is_replaced(lab: Lab) -> None:
    bundle = lab.bundle()
    with agents.supervised(lab.node) as agent:
        bundle.create(lab.wrapper)
        brought(lab.node, bundle)
        os.kill(agent.observe, signal.SIGKILL)
        assert found(lab.node) == NOTHING
        agent.wait_both()
        agent.control("restart", "runc-wrap-observe")
        assert found(lab.node) == NOTHING
