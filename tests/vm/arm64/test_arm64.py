"""The release archive on arm64: without it, then with it, and after a reboot."""

import errno

import pytest

from harness.kernel.process_status import DISABLED, FILTER
from harness.node.guest import PREFIX, UNITS, Guest, Node, wait
from tests.vm.arm64.container import CALLS, container

KINDS = ("runc", "crun")
WRAPPER = f"{PREFIX}/bin/runc-wrap"
# keyctl(99) comes to the kernel, which knows no such operation.
FREE = {"keyctl": errno.EOPNOTSUPP, "unshare": 0, "personality": 0}


def _each_call(found: dict[str, int]) -> dict[str, int]:
    return {f"{abi}-{name}": found[name] for abi, calls in CALLS.items() for name in calls}


FREE_CALLS = _each_call(FREE)
DENIED_CALLS = _each_call(dict.fromkeys(FREE, errno.EPERM))


def _no_unit_failed(guest: Guest) -> bool:
    return guest.sh("systemctl --failed --quiet --no-legend") == ""


@pytest.mark.parametrize("kind", KINDS)
def test_without_us_a_container_has_no_filter_and_makes_every_call(guest: Guest, kind: str) -> None:
    assert guest.sh("uname -m").strip() == "aarch64"
    assert _no_unit_failed(guest)
    bare = container(guest, f"bare-{kind}")
    assert bare.start(kind) == DISABLED
    assert bare.calls(kind) == FREE_CALLS
    bare.delete(kind)


def test_the_archive_installs_and_both_services_are_active(node: Node) -> None:
    tools = "for tool in python3 gcc cc musl-gcc; do command -v $tool && exit 1; done; :"
    assert node.machine.attempt(tools).stdout == ""
    assert "Seccomp: 2   with runc-wrap" in node.told
    for question, answer in (("is-active", "active"), ("is-enabled", "enabled")):
        told = node.machine.sh(f"systemctl {question} {' '.join(UNITS)}").split()
        assert told == [answer] * len(UNITS)
    assert _no_unit_failed(node.machine)


@pytest.mark.parametrize("kind", KINDS)
def test_with_us_it_is_confined_for_both_abis_and_verify_finds_a_filter_that_allows_more(
    node: Node, kind: str
) -> None:
    node.configure(f'runtime = ["{kind}"]\n')
    made = container(node.machine, f"confined-{kind}")
    assert node.shown("explain", made.config)["action"] == "inject"
    assert made.start(WRAPPER) == FILTER
    assert made.calls(WRAPPER) == DENIED_CALLS
    decided = made.read()
    block = decided["linux"]["seccomp"]
    assert set(block["architectures"]) == {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"}
    found = node.shown("verify", "--deep")
    assert (found["checked"], found["disagreeing"], found["unchecked"]) == (1, [], [])

    made.delete(kind)
    allowed = {"names": ["keyctl"], "action": "SCMP_ACT_ALLOW"}
    weaker = {**block, "syscalls": [*block["syscalls"], allowed]}
    made.write({**decided, "linux": {**decided["linux"], "seccomp": weaker}})
    assert made.start(kind) == FILTER
    made.write(decided)
    (one,) = node.shown("verify", "--deep")["disagreeing"]
    assert one["id"] == made.name
    assert {(call["abi"], call["syscall"]) for call in one["calls"]} == {
        (abi, "keyctl") for abi in CALLS
    }
    made.delete(kind)


def test_in_observe_the_report_names_the_calls_of_both_abis(node: Node) -> None:
    node.configure('runtime = ["runc"]\n[default]\nmode = "observe"\n')
    made = container(node.machine, "observed")
    assert made.start(WRAPPER) == FILTER
    assert made.calls(WRAPPER) == FREE_CALLS

    def reported() -> set[tuple[str, str]]:
        (row,) = [row for row in node.shown("report", "--all") if made.name in row["ids"]]
        return {(call["abi"], call["syscall"]) for call in row["calls"]}

    expected = {(abi, name) for abi, calls in CALLS.items() for name in calls}
    wait(lambda: reported() == expected, "the calls")
    made.delete(WRAPPER)
    node.configure("")


def test_after_a_reboot_the_services_are_active_and_confine(node: Node) -> None:
    node.machine.reboot()
    told = node.machine.sh(f"systemctl is-active {' '.join(UNITS)}").split()
    assert told == ["active"] * len(UNITS)
    made = container(node.machine, "rebooted")
    assert made.start(WRAPPER) == FILTER
    made.delete(WRAPPER)
