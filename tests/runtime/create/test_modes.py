"""Modes and ABIs in the kernel: what is denied, what is let through, what is logged."""

from typing import Any

import pytest

from harness.containers import logged_calls
from harness.node.install import Installed
from harness.node.requirements import unmet
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node import abi_probe
from runc_wrap.profiles import builtin
from runc_wrap.profiles.mode_profiles import modes
from tests.runtime.conftest import Lab

MOUNT, CLONE3, KEYCTL, VSOCK = "x86_64:165:0", "x86_64:435:0", "x86_64:250:99", "x86_64:41:40:99:0"
MOUNT_X86, GETPID, GETPID_X86, GETPID_X32 = "x86:21:0", "x86_64:39", "x86:20", "x32:39"
DENIED = {MOUNT: 1, CLONE3: 38, KEYCTL: 1, VSOCK: 1, MOUNT_X86: 1}
LOGGED, ERRNO = "7ffc0000", "50000"
KILLED = "killed by 31"
KERNEL = (6, 12)


def _block(mode: str, abi: str = "engine", spec: str = "moby") -> dict[str, Any]:
    profile = builtin.load(spec)
    if abi != "engine":
        kept = abi_probe.runnable("amd64") if abi == "kernel" else frozenset()
        assert kept is not None
        profile = modes.with_abis(profile, "amd64", kept)
    return resolve(modes.compiled(profile, mode, arch="amd64", kernel=KERNEL), frozenset())


@pytest.mark.parametrize("spec", ["moby", "containerd@1.7.24", "containers-common", "crio"])
def test_audit_denies_nothing_and_logs_everything_that_enforce_denies(lab: Lab, spec: str) -> None:
    calls = (*DENIED, GETPID)
    enforced: dict[str, str] = lab.under(_block("enforce", spec=spec), *calls)
    free = lab.under(None, *calls)
    with logged_calls.audited() as log:
        audited = lab.under(_block("audit", spec=spec), *calls)
    assert audited == free
    assert enforced[GETPID] == "returned"
    denied = {each for each in DENIED if enforced[each] != free[each]}
    assert VSOCK in denied
    assert {(*logged_calls.number(each), LOGGED) for each in denied} <= log
    assert logged_calls.number(GETPID) not in {(arch, number) for arch, number, _ in log}


def test_enforce_denies_with_each_rules_own_error(lab: Lab) -> None:
    enforced = lab.under(_block("enforce"), *DENIED)
    assert enforced == {each: f"errno {number}" for each, number in DENIED.items()}


def test_enforce_log_denies_the_same_and_logs_it(lab: Lab) -> None:
    if lab.kind == "runc":
        return  # 1.1 refuses any flag, so apply refuses the mode: see below
    with logged_calls.audited() as log:
        found = lab.under(_block("enforce-log"), *DENIED, GETPID)
    assert found == {**lab.under(_block("enforce"), *DENIED), GETPID: "returned"}
    assert {(*logged_calls.number(each), ERRNO) for each in DENIED} <= log


@pytest.mark.parametrize("default", ["SCMP_ACT_KILL", "SCMP_ACT_TRAP", "SCMP_ACT_KILL_PROCESS"])
def test_audit_lets_calls_through_that_enforce_would_kill(lab: Lab, default: str) -> None:
    block = {**_block("enforce", "native"), "defaultAction": default}
    del block["defaultErrnoRet"]
    assert lab.under(block, KEYCTL, GETPID_X86) == {KEYCTL: KILLED, GETPID_X86: KILLED}
    found = lab.under(_block("audit", "native"), KEYCTL, GETPID_X86, GETPID_X32)
    assert found == lab.under(None, KEYCTL, GETPID_X86, GETPID_X32)


OMITTED = [
    ("engine", "returned", "errno 38"),
    ("kernel", "returned", KILLED),
    ("native", KILLED, KILLED),
]


@pytest.mark.parametrize(("abi", "through_x86", "through_x32"), OMITTED)
def test_a_call_through_an_omitted_abi_is_killed(
    lab: Lab, abi: str, through_x86: str, through_x32: str
) -> None:
    if abi_probe.runnable("amd64") != frozenset({"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}):
        unmet("needs a kernel with 32-bit programs and without x32")
    found = lab.under(_block("enforce", abi), GETPID, GETPID_X86, GETPID_X32)
    assert found == {GETPID: "returned", GETPID_X86: through_x86, GETPID_X32: through_x32}


def test_apply_refuses_an_unsupported_mode_and_keeps_the_policy_in_force(
    own_installation: Installed,
) -> None:
    own_installation.configure('runtime = ["crun"]\n[default]\nmode = "enforce-log"\n')
    before = (own_installation.prefix / "var/policy.2/current/policy.json").read_bytes()
    config = own_installation.prefix / "etc" / "config.toml"
    config.write_text('runtime = ["runc"]\n[default]\nmode = "enforce-log"\n')
    done = own_installation.control("apply", ok=False)
    if done.returncode == 0:
        pytest.skip("this runc takes flags")
    assert done.returncode == 2
    assert f"{config}:3: the mode enforce-log needs" in done.stderr
    assert "Use audit, or install runc 1.2 or later, or crun" in done.stderr
    assert (own_installation.prefix / "var/policy.2/current/policy.json").read_bytes() == before
