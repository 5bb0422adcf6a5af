"""The overlay on real runtimes: a container tries denied calls."""

from typing import Any

import pytest

from harness.containers import logged_calls
from harness.containers.block_rules import equals, profile, rule
from runc_wrap.hotpath.overlay import with_overlay
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin
from runc_wrap.profiles.mode_profiles import modes
from tests.runtime.conftest import Lab

AF_UNIX, AF_INET = 1, 2
UNAME, UNAME_X86, CLONE3, NEWEST = "x86_64:63:0", "x86:122:0", "x86_64:435:0", "x86_64:9999"
UNIX, UNIX_HIGH = "x86_64:41:1:1:0", "x86_64:41:0x100000001:1:0"
INET, INET_HIGH = "x86_64:41:2:1:0", "x86_64:41:0xffffffff00000002:1:0"
INET_X86, INET_PAIR = "x86:359:2:1:0", "x86_64:53:2:1:0"
CALLS = (UNAME, UNAME_X86, CLONE3, UNIX, UNIX_HIGH, INET, INET_HIGH, INET_X86, INET_PAIR)
OVERLAY: Any = {"deny": ["uname", "clone3"], "deny_sockets": [AF_INET], "existing": True}
OTHERS = {CLONE3: "errno 38", UNIX: "returned", UNIX_HIGH: "returned"}
EXPECTED = {**dict.fromkeys(CALLS, "errno 1"), **OTHERS}
ALLOWING = profile(
    rule("LOG", "uname"),
    rule("ERRNO", "socket", errnoRet=111, args=equals(0, 16)),
    architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
)


def _resolved(spec: str, mode: str, *caps: str) -> dict[str, Any]:
    made = modes.compiled(builtin.load(spec), mode, arch="amd64", kernel=(6, 12))
    return resolve(made, frozenset(caps))


@pytest.mark.parametrize("spec", ["moby", "containers-common", "containers-common@0.49.0", "crio"])
@pytest.mark.parametrize("mode", ["enforce", "audit"])
@pytest.mark.parametrize("caps", [(), ("CAP_AUDIT_WRITE", "CAP_SYS_ADMIN")])
def test_a_denied_call_is_denied_on_every_profile_in_every_mode(
    lab: Lab, spec: str, mode: str, caps: tuple[str, ...]
) -> None:
    assert lab.under(with_overlay(_resolved(spec, mode, *caps), OVERLAY), *CALLS) == EXPECTED


def test_a_profile_that_allows_by_default_denies_a_denied_call(lab: Lab) -> None:
    assert lab.under(with_overlay(ALLOWING, OVERLAY), *CALLS) == EXPECTED
    netlink = "x86_64:41:16:3:0"
    assert lab.under(with_overlay(ALLOWING, OVERLAY), netlink) == {netlink: "errno 111"}


def test_a_family_with_upper_bits_bypasses_a_plain_comparison_and_not_the_overlay(lab: Lab) -> None:
    block = profile(rule("ERRNO", "socket", errnoRet=1, args=equals(0, 40)))
    plain, high = "x86_64:41:40:99:0", "x86_64:41:0x100000028:99:0"
    assert lab.under(block, plain)[plain] == "errno 1"
    assert lab.under(block, high)[high] != "errno 1"
    over: Any = {"deny": [], "deny_sockets": [40], "existing": False}
    assert lab.under(with_overlay(block, over), plain, high) == {plain: "errno 1", high: "errno 1"}


def test_calls_newer_than_the_profile_fail_as_before(lab: Lab) -> None:
    newest = max(_resolved("moby", "enforce")["syscalls"][0]["names"], key=_native)
    over: Any = {"deny": [newest], "deny_sockets": [], "existing": False}
    block = _resolved("moby", "enforce")
    after = f"x86_64:{_native(newest) + 1}"
    before = lab.under(block, after, NEWEST)
    assert lab.under(with_overlay(block, over), after, NEWEST) == before
    assert before[NEWEST] == ("errno 38" if lab.kind == "runc" else "errno 1")


def _native(name: str) -> int:
    import pyseccomp  # noqa: PLC0415 - loads the library

    return int(pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, name))


def test_socketcall_bypasses_a_denied_family_until_the_abi_is_left_out(lab: Lab) -> None:
    socketcall = "x86:102:1:0"  # SYS_SOCKET with no arguments behind it: EFAULT if it is let in
    block = _resolved("moby", "enforce")
    over: Any = {"deny": [], "deny_sockets": [AF_INET], "existing": False}
    assert lab.under(with_overlay(block, over), socketcall)[socketcall] == "errno 14"
    denied: Any = {**over, "deny": ["socketcall"]}
    assert lab.under(with_overlay(block, denied), socketcall)[socketcall] == "errno 38"
    native = {**with_overlay(block, over), "architectures": ["SCMP_ARCH_X86_64"]}
    assert lab.under(native, socketcall)[socketcall] == "killed by 31"


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_two_lines_in_the_policy_deny_from_the_next_container_on(lab: Lab, mode: str) -> None:
    settings = f'[default]\nmode = "{mode}"\n'
    over = '[overlay]\ndeny = ["uname"]\ndeny_sockets = ["AF_INET"]\n'
    said = {}
    for text in (settings, settings + over):
        lab.configure(text)
        said[text] = lab.calls(UNAME, UNIX, INET)
    assert said[settings] == {UNAME: "errno 14", UNIX: "returned", INET: "returned"}
    assert said[settings + over] == {UNAME: "errno 1", UNIX: "returned", INET: "errno 1"}


RINGS = '[default]\nprofile = "containerd@1.7.24"\n'  # it allows io_uring
SPLICE = "x86_64:275"  # of nothing: returns where it is let through


RING_CALLS = [
    ("enforce", "", "returned", "returned"),
    ("enforce", 'deny = ["splice"]\n', "errno 1", "errno 1"),
    ("audit", 'deny = ["splice"]\n', "errno 1", "errno 1"),
    ("enforce", 'deny = ["splice"]\nio_uring = "allow"\n', "errno 1", "returned"),
    ("enforce", 'deny_sockets = ["AF_ALG"]\n', "returned", "errno 1"),
    ("enforce", 'deny = ["umount2"]\n', "returned", "returned"),
]


@pytest.mark.parametrize(("mode", "over", "splice", "ring"), RING_CALLS)
def test_a_ring_cannot_make_a_denied_call_either(
    lab: Lab, *, mode: str, over: str, splice: str, ring: str
) -> None:
    operations = ("splice", "openat", "socket", "enter", "register")

    def tried(program: str, *words: str) -> dict[str, str]:
        bundle = lab.bundle()
        return logged_calls.make(bundle, lab.wrapper, lab.built(program), *words)

    lab.configure(f'{RINGS}mode = "{mode}"\n[overlay]\n{over}')
    assert tried("calls", SPLICE) == {SPLICE: splice}
    beyond = "errno 9" if ring == "returned" else ring  # without a ring: EBADF
    answers = [*[ring] * 3, beyond, beyond]
    assert tried("ring", *operations) == dict(zip(operations, answers, strict=True))


@pytest.mark.parametrize("existing", [False, True])
def test_an_own_profile_gets_the_overlay_only_on_request(lab: Lab, *, existing: bool) -> None:
    lab.configure(f'[overlay]\ndeny = ["uname"]\nexisting = {str(existing).lower()}\n')
    found = lab.calls(UNAME, UNIX, bundle=lab.bundle(seccomp=ALLOWING))
    assert found == {UNAME: "errno 1" if existing else "errno 14", UNIX: "returned"}
