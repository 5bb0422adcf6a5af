"""The tables of calls and codes, against the kernel's headers and libseccomp."""

import re
from pathlib import Path

from harness.node.requirements import unmet
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.profiles.sibling_calls import NOT_CALLS, OPERATIONS, RING_CALLS, RINGABLE, SIBLINGS

HEADERS = Path("/usr/include/linux")
# newer than the libseccomp (2.6.0) of any distribution
NEWER = {"open_tree_attr", "file_getattr", "file_setattr"}


def _header(name: str) -> str:
    path = HEADERS / name
    if not path.exists():
        unmet("needs the kernel's headers (linux-libc-dev)")
    return path.read_text()


def test_the_operations_are_those_of_the_kernels_header_in_its_order() -> None:
    body = re.search(r"enum io_uring_op \{(.*?)IORING_OP_LAST", _header("io_uring.h"), re.DOTALL)
    assert body
    names = re.findall(r"\bIORING_OP_(\w+)", re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL))
    ours = list(OPERATIONS)
    shorter = min(len(names), len(ours))
    assert shorter >= 58  # Linux 6.12
    assert ours[:shorter] == names[:shorter]


def test_libseccomp_knows_every_named_call() -> None:
    named = {*SIBLINGS, *RINGABLE, *RING_CALLS, *NOT_CALLS}
    named |= {other for others in SIBLINGS.values() for other in others}
    known = syscall_names.known_to_libseccomp(named)
    if known is None:
        unmet("needs libseccomp2")
    assert named - known <= NEWER
    assert named & NEWER == NEWER


def test_no_call_is_its_own_sibling_or_listed_twice() -> None:
    for call, others in SIBLINGS.items():
        assert call not in others
        assert len(set(others)) == len(others)
    assert all(len(set(calls)) == len(calls) for calls in OPERATIONS.values())


def test_older_and_newer_forms_of_ring_operations_are_ringable_or_siblings() -> None:
    reached = {*RINGABLE}
    reached |= {call for call in SIBLINGS if RINGABLE & {*SIBLINGS[call]}}
    assert {"splice", "openat", "socket", "setxattr", "unlink", "preadv2", "ioctl"} <= RINGABLE
    assert {"sendfile", "vmsplice", "socketpair", "file_setattr"} <= reached - RINGABLE
    assert not {"bpf", "mount", "execve", "keyctl", "ptrace", "unshare", "chmod"} & RINGABLE


def test_each_code_is_the_kernels() -> None:
    text = _header("seccomp.h")
    found = re.findall(r"#define SECCOMP_RET_(\w+)\s+0x([0-9a-f]+)U", text)
    defined = {name: int(value, 16) for name, value in found}
    renamed = {"ACTION_MASK": "ACTION_FULL", "DATA_MASK": "DATA"}
    ours = {name: value for name, value in vars(return_codes).items() if name.isupper()}
    assert ours == {name: defined[renamed.get(name, name)] for name in ours}
    assert len(ours) > 8
