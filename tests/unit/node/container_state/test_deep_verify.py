"""A filter that another libseccomp made of the decided block, and one that is none of it."""

import struct
from typing import Any

import pytest

from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.bpf import BpfError
from runc_wrap.filters.evaluate.libseccomp_input import Loader, load
from runc_wrap.filters.kernel import libseccomp_compiler
from runc_wrap.node.container_state import deep_verify
from runc_wrap.node.container_state.deep_verify import Expectations
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS

pytestmark = pytest.mark.skipif(
    not syscall_names.known_to_libseccomp(["mseal"])
    or syscall_names.native() is not ABIS["x86_64"],
    reason="written for x86_64 with libseccomp 2.5.6 or newer",
)
OLD, NEW = "2.5.5", "2.6.0"  # mseal is known to the second only


def _block(default: str, action: str) -> dict[str, Any]:
    names = ["read", "mseal"]
    return {"defaultAction": default, "syscalls": [{"names": names, "action": action}]}


def _read(block: dict[str, Any], kind: str, library: str) -> tuple[bytes]:
    """Return a process's filter: crun's, or runc's without the answer to newer calls."""
    return (libseccomp_compiler.filter_bytes(load(block, Loader.of(kind, "1.21", library))),)


@pytest.mark.parametrize(("then", "now"), [(OLD, NEW), (NEW, OLD), (NEW, NEW), (OLD, OLD)])
def test_a_container_older_than_an_upgrade_is_under_the_decided_filter(then: str, now: str) -> None:
    block = _block("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW")
    expected = Expectations(block, Loader.of("crun", "1.21", now))
    assert expected.closest(_read(block, "crun", then)) == ()
    other = _block("SCMP_ACT_ERRNO", "SCMP_ACT_LOG")
    assert {one.syscall for one in expected.closest(_read(other, "crun", then))} >= {"read"}


def test_a_denial_that_an_older_library_left_out_is_found_after_the_upgrade() -> None:
    block = _block("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO")
    upgraded = Expectations(block, Loader.of("crun", "1.21", NEW))
    assert [one.syscall for one in upgraded.closest(_read(block, "crun", OLD))] == ["mseal"]
    assert upgraded.closest(_read(block, "crun", NEW)) == ()


LOADED = [
    (["read"], True),
    (["read", "getcpu"], True),
    (["read", "acct"], False),
    (["getcpu"], False),
]


@pytest.mark.parametrize(("loaded", "is_decided"), LOADED)
def test_a_call_that_one_abi_got_later_may_be_denied_and_not_allowed(
    loaded: list[str], *, is_decided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if native getcpu and acct came later, each filter being of a library without mseal."""
    later = frozenset({("x86_64", "getcpu"), ("x86_64", "acct")})
    monkeypatch.setattr(deep_verify, "LATER", later)
    block = _block("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW")
    rule = block["syscalls"][0]
    decided = {**block, "syscalls": [{**rule, "names": ["read", "mseal", "getcpu"]}]}
    found = {**block, "syscalls": [{**rule, "names": loaded}]}
    expected = deep_verify.Expectations(decided, Loader.of("crun", "1.21", NEW))
    assert (expected.closest(_read(found, "crun", OLD)) == ()) is is_decided


def _packed(*lines: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _denying(*numbers: int) -> bytes:
    tests = [(bpf.JEQ, len(numbers) - at, 0, one) for at, one in enumerate(numbers)]
    ends = (bpf.RET_K, 0, 0, return_codes.ALLOW), (bpf.RET_K, 0, 0, 0)
    return _packed((bpf.LD_ABS, 0, 0, 0), *tests, *ends)


# Each branch on X doubles what the accumulator may be.
BRANCH = (bpf.JEQ | bpf.FROM_X, 0, 1, 0)
DOUBLED = [one for at in range(1000) for one in (BRANCH, (4, 0, 0, 1 << at % 32))]
FOR_EVER = _packed((bpf.LD_ABS, 0, 0, 0), *DOUBLED, (bpf.RET_K, 0, 0, return_codes.ALLOW))
LAID, STRICTER = _denying(250), _denying(250, 251)
# Denies all calls but for one value of their first argument, which it calculates.
CALCULATED = _packed(
    *((bpf.LD_ABS, 0, 0, 16), (0xA4, 0, 0, 0x5A5A5A5A), (bpf.JEQ, 0, 1, 0x1B1B0000)),
    *((bpf.RET_K, 0, 0, return_codes.ALLOW), (bpf.RET_K, 0, 0, 0)),
)


def test_a_filter_that_was_laid_counts_and_none_that_can_be_compared_in_part_only() -> None:
    laid = deep_verify.WithLaid(None, 0, (LAID,))
    for read in ((LAID,), (FOR_EVER, LAID), (STRICTER,)):
        assert laid.closest(read) == ()
    assert laid.closest((_denying(251),)) != ()
    with pytest.raises(BpfError, match="in part"):
        laid.closest((CALCULATED,))


def test_filters_that_many_threads_share_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    laid = deep_verify.WithLaid(None, 0, (LAID,))
    first = laid.closest((_denying(251),))
    monkeypatch.setattr(deep_verify.WithLaid, "_compared", None)
    assert laid.closest((_denying(251),)) == first != ()


def test_a_programs_own_filter_is_not_compared_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deep_verify, "_SECONDS", 0.3)
    decided = Expectations({"defaultAction": "SCMP_ACT_ERRNO"}, Loader("crun"))
    for expected in (decided, deep_verify.WithLaid(None, 0, (LAID,))):
        with pytest.raises(BpfError, match="too long, or in part"):
            expected.closest((_denying(1), FOR_EVER))
