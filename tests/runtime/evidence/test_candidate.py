"""A candidate beside an enforced profile, in real containers: the report equals enforcing it."""

import pytest

from harness.containers import every_call
from harness.containers.bundles import Bundle
from harness.node import agent as agents
from harness.node.requirements import machine
from runc_wrap.profiles.abis import ABIS
from tests.runtime.conftest import BOTH, Lab

CURRENT, REMOVED = "containerd@1.7.24", ("getpgid", "mkdirat", "sysinfo")
CANDIDATE = " - ".join(("containerd@2.3.1", *REMOVED))
DENIED = (("errno", 1), ("errno", 38))
RINGS = {"io_uring_setup", "io_uring_enter", "io_uring_register"}
KEYCTL, ALG, SYSINFO, GETPID = "x86_64:250:99", "x86_64:41:38:5:0", "x86_64:99:0", "x86_64:39"


def _configure(lab: Lab, profile: str, *lines: str) -> None:
    lab.configure("\n".join(["[default]", f'profile = "{profile}"', *lines]))


@BOTH
def test_every_call_ends_as_without_and_the_report_equals_enforcing(
    lab: Lab,
) -> None:
    machine("x86_64")
    native = ABIS["x86_64"]

    def ran(profile: str, *lines: str) -> tuple[Bundle, dict[str, tuple[str, int]]]:
        _configure(lab, profile, *lines)
        bundle = lab.running("denials", *every_call.words(native))
        done = bundle.call(lab.wrapper, "run")
        results = every_call.parse(done.stdout)
        return bundle, {one.name: (one.kind, one.value) for one in results}

    _, before = ran(CURRENT)
    _, enforced = ran(CANDIDATE)
    with lab.agent():
        looked, beside = ran(CURRENT, f'candidate = "{CANDIDATE}"')
    assert beside == before
    more = {
        name for name, result in enforced.items() if result in DENIED and before[name] not in DENIED
    }
    assert {*REMOVED} <= more
    found = lab.workload(looked, "--candidate")
    assert (found["verdict"], found["profile"], found["modes"]) == (
        "denied", CANDIDATE, ["candidate"],
    )  # fmt: skip
    calls = {one["syscall"]: one for one in found["calls"]}
    # a ring's calls may fail alike without a filter: kernel.io_uring_disabled
    assert more <= {*calls} <= more | RINGS
    assert {calls[name]["errno"] for name in REMOVED} == {"EPERM"}
    plain = lab.workload(looked)
    assert (plain["verdict"], plain["calls"], plain["modes"]) == (None, [], ["enforce"])
    (line,) = (one for one in lab.node.ledger() if one["id"] == looked.name)
    assert (line["mode"], line["candidate"]) == ("enforce", CANDIDATE)


@BOTH
@pytest.mark.parametrize("mode", ["enforce", "enforce-log", "observe"])
def test_a_denied_call_stays_denied_and_one_that_only_the_candidate_denies_succeeds(
    lab: Lab, mode: str
) -> None:
    machine("x86_64")
    if mode == "enforce-log" and lab.kind == "runc":
        pytest.skip("needs runc 1.2")
    _configure(lab, CURRENT, f'mode = "{mode}"', f'candidate = "{CANDIDATE}"')
    calls = (KEYCTL, ALG, SYSINFO, GETPID)
    bundle = lab.running("calls", *calls)
    with agents.running(lab.node):
        done = bundle.call(lab.wrapper, "run")
    said = done.stdout
    assert f"{KEYCTL} errno 1\n" in said
    assert f"{SYSINFO} errno 14\n" in said  # EFAULT: the kernel's own answer
    assert f"{ALG} errno 1\n" not in said
    found = lab.workload(bundle, "--candidate")
    assert found["verdict"] == "denied"
    seen = {one["syscall"]: one["args"] for one in found["calls"]}
    assert {*seen} == {"socket", "sysinfo"}
    if mode == "observe":  # the agent knows the family
        assert seen["socket"] == [[38, 5, 0, None, None, None]]
    plain = lab.workload(bundle)
    denied = ["keyctl"] if mode == "enforce-log" else []
    assert [one["syscall"] for one in plain["calls"]] == denied
    _configure(lab, CANDIDATE)
    said = lab.running("calls", *calls).call(lab.wrapper, "run").stdout
    assert f"{SYSINFO} errno 1\n" in said
    assert f"{ALG} errno 1\n" in said
