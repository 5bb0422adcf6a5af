"""The two services under systemd, while a container in `observe` makes calls all the time."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.node import observed_calls
from harness.node.guest import IMAGE, UNITS, Node, wait
from harness.node.observed_calls import AS_USUAL, LOGGED, RUN, Calls
from tests.boxes.box import SUITE

KEEPS_AT_STOP = SUITE != "bookworm"  # systemd 252 empties its store at a stop (254 does not)


@pytest.fixture(scope="module", autouse=True)
def began(node: Node) -> str:
    """The journal's cursor before the first event."""
    return node.journals_end()


@pytest.fixture(scope="module")
def calls(node: Node) -> Iterator[Calls]:
    node.configure('[default]\nmode = "observe"\n')
    with observed_calls.calls(node.machine) as made:
        assert node.ledger()[-1]["mode"] == "observe"
        yield made
    node.configure("")


def _command(*commands: str) -> Callable[[Node], None]:
    def run(node: Node) -> None:
        node.machine.sh("\n".join(commands), seconds=300)

    return run


NEWER = "/root/newer"
# The archive as if it were of another version.
_MAKE_NEWER = f"""
cp -a /root/archive {NEWER}; cd {NEWER}/lib/releases
mv * 99.0; ln -sfn releases/99.0 ../current
cd 99.0/venv/lib/python3*/site-packages
mv runc_wrap-*.dist-info runc_wrap-99.0.dist-info
sed -i 's/^Version: .*/Version: 99.0/' runc_wrap-99.0.dist-info/METADATA
cd {NEWER}; find . -type f ! -name SHA256SUMS -print0 | xargs -0 sha256sum > SHA256SUMS
"""


def _install(archive: str, *before: str) -> Callable[[Node], None]:
    """Install what is unpacked there, as an operator would; its version is then in force."""

    def install(node: Node) -> None:
        _command(*before, f"{archive}/install.sh --quiet")(node)
        version = node.machine.sh('basename "$(readlink "$1/lib/current")"', archive).strip()
        assert node.shown("version")["release"] == version

    return install


EVENTS = {
    "kill observe": _command("systemctl kill --signal KILL runc-wrap-observe"),
    "kill both": _command("systemctl kill --signal KILL runc-wrap-decide runc-wrap-observe"),
    "restart": _command("systemctl restart runc-wrap-decide runc-wrap-observe"),
    "stop and start": _command(
        f"systemctl stop {' '.join(UNITS)}", "sleep 3", f"systemctl start {' '.join(UNITS)}"
    ),
    "upgrade": _install(NEWER, _MAKE_NEWER),
    "downgrade": _install("/root/archive"),
}


if not KEEPS_AT_STOP:
    del EVENTS["stop and start"]


# What systemd says of a service that a test kills or stops.
_OF_THE_EVENTS = re.compile(
    r" systemd\[1\]: runc-wrap-(decide|observe)\.service: "
    r"(Main process exited, code=killed, status=9/KILL|"
    r"Failed with result '(signal|watchdog)'|Watchdog timeout|Killing process|"
    r"Found left-over process|This usually indicates unclean termination)"
)
# Said once of a container at most, by a service that reads too slowly, as on a busy machine, or by
# the next one after one that hung.
_UNREAD = re.compile(r" runc-wrap observe: reading callers in ([0-9a-f]{64}) took too long; .*")


@pytest.mark.parametrize("event", EVENTS)
def test_no_call_fails_and_no_container_is_lost(node: Node, calls: Calls, event: str) -> None:
    before = node.service("observe")["MainPID"]
    calls.go_on()
    EVENTS[event](node)
    calls.go_on()

    def are_both_active() -> bool:
        services = [node.service(name) for name in ("decide", "observe")]
        states = [one["ActiveState"] for one in services]
        return states == ["active"] * 2 and services[1]["MainPID"] != before

    wait(are_both_active, "both, and another observe")
    assert node.machine.sh("docker inspect -f '{{.State.Running}}' calls").strip() == "true"


def test_a_stopped_observe_is_replaced_by_the_watchdog_and_no_call_fails(
    node: Node, calls: Calls
) -> None:
    before = node.service("observe")
    node.machine.sh("systemctl kill --signal STOP runc-wrap-observe")
    calls.go_on()
    after = node.service("observe")
    assert int(after["NRestarts"]) == int(before["NRestarts"]) + 1
    assert after["MainPID"] != before["MainPID"]


def test_a_create_is_decided_without_decide_while_that_hangs(node: Node, calls: Calls) -> None:
    def decided_by() -> str:
        node.machine.sh(f"{RUN} --rm {IMAGE} true")
        return str(node.ledger()[-1]["via"])

    def is_agents() -> bool:
        return decided_by() == "agent"

    wait(is_agents, "a decision within 80 ms, also where a CPU is emulated")
    restarts = node.service("decide")["NRestarts"]

    def is_cold_while_it_hangs() -> bool:
        node.machine.sh("systemctl kill --signal STOP runc-wrap-decide")
        return decided_by() == "cold"

    wait(is_cold_while_it_hangs, "a create that the watchdog does not come before")
    wait(lambda: node.service("decide")["NRestarts"] != restarts, "the watchdog")
    wait(is_agents, "decisions by the next one")
    calls.go_on()


def test_what_was_done_to_the_services_is_all_that_the_journal_warns_of(
    node: Node, began: str
) -> None:
    lines = [line for line in node.warnings(began) if not _OF_THE_EVENTS.search(line)]
    unread = [found[1] for line in lines if (found := _UNREAD.search(line))]
    assert len(unread) == len({*unread})
    others = [line for line in lines if not _UNREAD.search(line)]
    assert "\n".join(others) == ""  # a list would be shortened


@pytest.mark.usefixtures("calls")
def test_without_systemds_store_the_calls_would_fail_and_that_is_said(node: Node) -> None:
    """So the tests above could see it: the same container, whose listener is thrown away."""
    clean = "; systemctl clean --what=fdstore runc-wrap-observe" if KEEPS_AT_STOP else ""
    node.machine.sh(f"systemctl stop {' '.join(UNITS)}{clean}")
    failing = f"{LOGGED} | grep -v '{AS_USUAL}'"
    # The round of calls during which it stops is answered in part.
    wait(lambda: " 0 of 50 failed with 95" in node.machine.attempt(failing).stdout, "ENOSYS")
    node.machine.sh(f"systemctl start {' '.join(UNITS)}")
    said = node.ctl("verify")
    assert (said.returncode, "listener of its process" in said.stdout) == (1, True), said


@pytest.mark.usefixtures("calls")
def test_what_docker_starts_at_boot_is_in_observe_and_no_call_fails(node: Node) -> None:
    """Docker starts it again by itself, at the same time as systemd starts our services.

    What it calls while the machine goes down is not asked: systemd ends observe at the same time.
    """
    with observed_calls.calls(node.machine, "always", "--restart always") as always:
        name = node.machine.sh("docker inspect -f '{{.Id}}' always").strip()
        before = _creates(node, name)
        node.machine.reboot()
        always.go_on()
        again = _creates(node, name)[len(before) :]
        assert {line["mode"] for line in again} == {"observe"}, again


def _creates(node: Node, name: str) -> list[Any]:
    return [line for line in node.ledger() if line["id"] == name]
