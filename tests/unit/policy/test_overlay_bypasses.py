"""The overlay: the ways around it that stay open, for whom, and denials because of rings."""

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runc_wrap.hotpath.resolve import resolve
from runc_wrap.policy import overlay_bypasses
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.policy.settings import schema
from runc_wrap.profiles import sibling_calls, syscall_names
from runc_wrap.profiles.sibling_calls import RING_CALLS, RINGABLE
from tests.unit.hotpath import profile_verdict
from tests.unit.policy.node import compiled

RINGS = {"runtime_default.containerd": "1.7.24"}  # allows io_uring
ENGINES = "containerd, containers-common, crio, moby"
IO_URING = {"io_uring_setup", "io_uring_enter", "io_uring_register"}
ERRNO, ALLOW = "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"


def _remarks(**written: Any) -> list[str]:
    changed = {f"overlay.{name}": value for name, value in written.items()}
    return list(compiled(changed).remarks)


def _own(default: str, *rules: dict[str, Any], **written: Any) -> list[str]:
    """Return the remarks if the owner's own profile is the only one in force."""
    text = json.dumps({"defaultAction": default, "syscalls": list(rules)}).encode()
    changed = {f"overlay.{name}": value for name, value in written.items()}
    made = compiled(changed, own_profiles={"a": text}).profiles["localhost/a", "enforce"]
    profiles = {("localhost/a", "enforce"): made}
    told = overlay_bypasses.remarks({**schema.defaults(), **changed}, profiles, "amd64")
    return [line for line in told if not line.startswith("note: io_uring can replace")]


def _denied(found: Compiled) -> list[str]:
    over = found.policy["overlay"]
    assert over
    return over["deny"]


def _allow(*names: str, **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", **more}


def test_a_denied_call_that_a_ring_makes_is_denied_with_the_ring_and_reported() -> None:
    found = compiled({"overlay.deny": ["splice"], **RINGS})
    assert _denied(found) == ["splice", *RING_CALLS]
    (told,) = [line for line in found.remarks if "io_uring can replace splice, unseen" in line]
    assert told.startswith("note: ")
    assert 'write io_uring = "allow" in [overlay].' in told
    sockets = compiled({"overlay.deny_sockets": ["AF_ALG"], **RINGS})
    assert {*_denied(sockets)} == IO_URING
    assert any("io_uring can replace the denied sockets" in line for line in sockets.remarks)


def test_a_denied_ring_is_also_denied_to_a_receiver_without_a_remark() -> None:
    for call in IO_URING:
        found = compiled({"overlay.deny": [call], **RINGS})
        assert {*_denied(found)} == IO_URING
        assert found.remarks == ()


def test_an_allowed_ring_stays_and_the_bypass_is_reported() -> None:
    written = {"overlay.deny": ["splice"], "overlay.deny_sockets": ["AF_ALG"]}
    found = compiled({**written, "overlay.io_uring": "allow", **RINGS})
    assert _denied(found) == ["splice"]
    (told,) = [line for line in found.remarks if "programs can still do" in line]
    assert "splice, the denied sockets by io_uring, under containerd@1.7.24; leave it" in told
    newer = compiled({**written, "overlay.io_uring": "allow"})  # no profile allows rings
    assert not any("programs can still do" in line for line in newer.remarks)


def test_denying_an_allowed_ring_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"io_uring is allow, but overlay\.deny has io_uring_set"):
        compiled({"overlay.deny": ["io_uring_setup"], "overlay.io_uring": "allow"})


MOUNTS = "fsopen, fsconfig, fsmount, fspick, move_mount, open_tree, mount_setattr"
ADMIN = "under containers-common, crio and with CAP_SYS_ADMIN under containerd, moby"
ALG = {"deny": ["io_uring_setup"], "deny_sockets": ["AF_ALG"]}
OPEN, NEEDED = "stay open", "execve cannot be denied: no container starts without."
PTRACE = {"deny": ["ptrace", *sibling_calls.SIBLINGS["ptrace"]]}
REPORTED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "siblings": ({"deny": ["mount"]}, [f"around mount {OPEN}: {MOUNTS} {ADMIN}; add {MOUNTS}"]),
    "32-bit forms": ({"deny": ["umount2"]}, ["; add umount to deny or write default.abis = "]),
    "32-bit forms with a capability": (
        {"deny": ["clock_settime"]},
        [f"stime, clock_settime64 through the ABI x86 with CAP_SYS_TIME under {ENGINES}"],
    ),
    "ipc": ({"deny": ["shmget"]}, [f"ipc through the ABI x86 under {ENGINES}; add ipc to deny or"]),
    "socketcall": (ALG, [f"sockets {OPEN}: socketcall through the ABI x86 under {ENGINES}"]),
    "what containers need": ({"deny": ["execveat"]}, [f"note: *{OPEN}: execve under*{NEEDED}"]),
    "what is no call": (PTRACE, ["/proc/PID/mem can do what ptrace", *["note: *is not a sy"] * 3]),
    "what Linux exempts": ({"deny": ["uretprobe"]}, ["uretprobe, which Linux exempts from every"]),
    "all siblings denied": ({"deny": ["mount", *MOUNTS.split(", ")]}, []),
    "ipc denied": ({"deny": ["shmget", "ipc"]}, []),
    "without siblings": ({"deny": ["bpf"]}, []),
}


@pytest.mark.parametrize("case", REPORTED)
def test_ways_around_a_denial_are_reported_with_what_to_write(case: str) -> None:
    written, said = REPORTED[case]
    found = _remarks(**written)
    assert len(found) == len(said), found
    for words, line in zip(said, found, strict=True):
        assert fnmatchcase(line, f"*{words}*"), line


def test_leaving_out_the_abi_closes_its_ways() -> None:
    for written in ({"deny": ["umount2"]}, ALG):
        named = {f"overlay.{name}": value for name, value in written.items()}
        assert compiled({**named, "default.abis": "native"}).remarks == ()


def test_a_sibling_for_some_arguments_is_reported_as_such() -> None:
    (told,) = _remarks(deny=["unshare"])
    assert "clone under containers-common and with some arguments under containerd, crio" in told


SOME = {"args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}
DENIED = {"names": ["setns", "clone3", "clone"], "action": ERRNO}
LIFTED = {"names": ["finit_module"], "action": ERRNO, "excludes": {"caps": ["CAP_SYS_MODULE"]}}
SETNS, SOME_SETNS, RING = _allow("setns"), _allow("setns", **SOME), _allow("io_uring_setup")
OWNERS: list[tuple[str, list[dict[str, Any]], list[str], str]] = [  # default, rules, deny, said
    (ERRNO, [SOME_SETNS], ["unshare"], "setns with some arguments under localhost/a"),
    (ALLOW, [{**DENIED, **SOME}], ["unshare"], "with some arguments under localhost/a"),
    (ALLOW, [DENIED], ["unshare"], ""),
    (ERRNO, [SOME_SETNS, DENIED], ["unshare"], ""),  # one without comparisons beats it
    (ERRNO, [DENIED, SETNS], ["unshare"], ""),  # and the first of two holds
    (ERRNO, [SETNS, DENIED], ["unshare"], "setns under"),
    (ALLOW, [LIFTED], ["init_module"], "finit_module with CAP_SYS_MODULE under localhost/a; add "),
    (ERRNO, [RING], ["socketpair"], "socket by io_uring under localhost/a; add socket to deny"),
    (ERRNO, [RING], ["socketpair", "socket"], ""),
]


@pytest.mark.parametrize(("default", "rules", "deny", "said"), OWNERS)
def test_ways_around_a_denial_under_an_own_profile_are_reported(
    default: str, rules: list[dict[str, Any]], deny: list[str], said: str
) -> None:
    told = _own(default, *rules, deny=deny)
    assert bool(told) is bool(said)
    assert said in "".join(told)


def test_only_a_profile_closes_a_call_that_libseccomp_does_not_know() -> None:
    deny = ["mount", "open_tree", "mount_setattr"]
    told = "\n".join(_own("SCMP_ACT_ALLOW", deny=deny))
    assert "open_tree_attr under localhost/a" in told
    if "open_tree_attr" not in (syscall_names.known_to_libseccomp(["open_tree_attr"]) or ()):
        assert "this libseccomp does not know open_tree_attr: only a profile that denies by" in told
        assert _own(ERRNO, _allow("open_tree_attr"), deny=deny) == []


calls = st.lists(
    st.sampled_from(sorted({*sibling_calls.SIBLINGS, *RINGABLE, "bpf"} - {"execve"})),
    max_size=3,
    unique=True,
).filter(lambda names: syscall_names.known_to_libseccomp(names) in (None, frozenset(names)))


@given(calls, st.booleans(), st.sampled_from(["deny", "allow"]))
@settings(max_examples=50, deadline=None)
def test_a_call_that_a_ring_makes_passes_no_ring_and_the_overlay_never_loosens(
    deny: list[str], sockets: bool, io_uring: str
) -> None:
    written: dict[str, Any] = {
        "overlay.deny": [name for name in deny if name not in IO_URING],
        "overlay.deny_sockets": ["AF_ALG"] if sockets else [],
        "overlay.io_uring": io_uring,
    }
    before, after = compiled(RINGS).profiles, compiled({**written, **RINGS}).profiles
    by_ring = sockets or bool({*written["overlay.deny"]} & RINGABLE)
    for key, block in ((key, resolve(made, frozenset())) for key, made in after.items()):
        once = resolve(before[key], frozenset())
        for name in {*deny, *IO_URING, "read"}:
            passes = profile_verdict.passes(block, name, {})
            assert not passes or profile_verdict.passes(once, name, {})
            if name in written["overlay.deny"] or (
                name in IO_URING and by_ring and io_uring == "deny"
            ):
                assert not passes
            elif name in IO_URING:
                assert passes == profile_verdict.passes(once, name, {})
