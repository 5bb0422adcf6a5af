"""The checks on a profile: each finds its fault, and none in the engines' own profiles."""

import builtins
from typing import Any

import pytest

# denial_lint enters its checks
from runc_wrap.profiles import builtin, denial_lint, profile_lint, sibling_calls  # noqa: F401
from runc_wrap.profiles.engine_versions import Version
from runc_wrap.profiles.profile_lint import Context, LintFinding
from runc_wrap.profiles.source_profile import Profile
from tests.unit.profiles.resolving import read

ALLOW_ALL = {"defaultAction": "SCMP_ACT_ALLOW"}
RULE = {"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}
TWICE = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (1, 2)]


def _found(document: dict[str, Any], runc: Version | None = None) -> list[LintFinding]:
    return _checked(read(document), runc)


def _checked(profile: Profile, runc: Version | None) -> list[LintFinding]:
    context = Context("amd64", (6, 12), runc)
    found = [finding for check in profile_lint.CHECKS for finding in check(profile, context)]
    assert all(finding.place and finding.sentence and finding.remedy for finding in found)
    return found


def _named_rule(*names: str, **more: Any) -> dict[str, Any]:
    return {"syscalls": [{**RULE, "names": list(names), **more}]}


OUTSIDE = {"index": 1, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}


def _said(document: dict[str, Any], runc: Version | None = None) -> list[str]:
    return [f"{one.severity}: {one.check}" for one in _found(document, runc)]


def _abis(*names: str) -> dict[str, Any]:
    return {"architectures": [f"SCMP_ARCH_{name}" for name in names]}


TYPO = {"caps": ["CAP_SYS_ADMN"]}
OLD, LOG = Version(1, 1, 15), {"flags": ["SECCOMP_FILTER_FLAG_LOG"]}


FAULTS = [
    ({}, None, []),
    (_named_rule("swapon"), None, []),
    (_named_rule("raed"), None, ["warning: unknown-syscalls"]),
    (_named_rule("swapon", action="SCMP_ACT_ALLOW"), None, ["note: same-as-default"]),
    (_named_rule("swapon", args=TWICE), None, ["warning: repeated-arguments"]),
    (_named_rule("swapon", args=TWICE[:1]), None, []),
    (_named_rule("swapon", includes=TYPO), None, ["warning: unknown-capabilities"]),
    (_named_rule("swapon", action="SCMP_ACT_NOTIFY"), None, ["warning: listener-missing"]),
    (_named_rule("swapon", action="SCMP_ACT_NOTIFY"), OLD, ["error: listener-missing"]),
    ({**_named_rule("swapon", action="SCMP_ACT_NOTIFY"), "listenerPath": "/s"}, None, []),
    (_named_rule("execve", "execveat"), None, ["error: runtime-calls-denied"]),
    (_named_rule("execve", args=TWICE[:1]), None, []),
    (_named_rule("capset"), None, ["warning: runtime-calls-denied"]),
    (_named_rule("munmap", args=[OUTSIDE]), None, ["warning: mask-misses-value"]),
    (LOG, OLD, ["error: flags-refused"]),
    ({"flags": []}, OLD, []),
    (LOG, Version(1, 2, 0), []),
    (LOG, None, []),
    (_abis("AARCH64"), None, ["warning: native-missing"]),
    (_abis("X86_64", "X86"), None, []),
    (_abis("X86_64", "LOONGARCH64"), OLD, ["warning: architectures-refused"]),
    (_abis("X86_64", "LOONGARCH64"), Version(1, 4, 3), ["warning: architectures-refused"]),
    (_abis("X86_64", "LOONGARCH64"), Version(1, 5, 0), []),
    (_abis("X86_64", "RISCV64"), Version(1, 1, 0), ["warning: architectures-refused"]),
    (_abis("X86_64", "RISCV64"), OLD, []),
    (_abis("X86_64", "PARISC"), OLD, ["error: architectures-refused"]),
    (_abis("X86_64", "PARISC"), Version(1, 5, 1), ["error: architectures-refused"]),
]


@pytest.mark.parametrize(("members", "runc", "found"), FAULTS)
def test_each_check_finds_its_fault(members: Any, runc: Version | None, found: list[str]) -> None:
    assert _said({**ALLOW_ALL, **members}, runc) == found


KILL_ONE = {**RULE, "action": "SCMP_ACT_KILL_PROCESS", "args": TWICE[:1]}
PASS = {**RULE, "action": "SCMP_ACT_ALLOW"}
PRIVILEGED = [{**PASS, "includes": {"caps": ["CAP_SYS_ADMIN"]}}]


IGNORED = [
    ("ERRNO", [KILL_ONE, PASS], ["error"]),
    ("ERRNO", [PASS, KILL_ONE], ["error"]),
    ("ERRNO", [PASS, {**RULE, "args": TWICE[:1]}], ["error"]),  # what runtimes drop
    ("TRAP", [RULE, KILL_ONE], ["error"]),
    ("TRAP", [RULE, {**PASS, "args": TWICE[:1]}], ["warning"]),
    ("ERRNO", [*PRIVILEGED, KILL_ONE], ["warning"]),
    ("ERRNO", [*PRIVILEGED, KILL_ONE, {**PASS, "action": "SCMP_ACT_LOG"}], ["error"]),
    ("ERRNO", [*PRIVILEGED, {**KILL_ONE, "includes": {"caps": ["CAP_SYS_ADMIN"]}}], ["error"]),
    ("ERRNO", [{**PASS, "includes": {"minKernel": "9.9"}}, KILL_ONE], []),
    ("ALLOW", [KILL_ONE, PASS], []),  # runtimes drop the second
    ("ERRNO", [KILL_ONE, {**PASS, "args": [{**TWICE[0], "op": "SCMP_CMP_NE"}]}], []),
    ("ERRNO", [PASS, {**PASS, "args": TWICE[:1]}], []),
    *(
        ("ERRNO", [{**KILL_ONE, "includes": one}, {**PASS, "excludes": one}], [])
        for one in ({"caps": ["CAP_SYS_ADMIN"]}, {"minKernel": "5.4"}, {"arches": ["amd64"]})
    ),
    ("ERRNO", [{**KILL_ONE, "includes": {"arches": ["arm64"]}}, PASS], []),
]


@pytest.mark.parametrize(("default", "rules", "severities"), IGNORED)
def test_a_rule_on_arguments_beside_one_for_all_arguments_is_named(
    default: str, rules: list[dict[str, Any]], severities: list[str]
) -> None:
    """libseccomp keeps the one for all: less is denied than the text says, or more."""
    found = _found({"defaultAction": f"SCMP_ACT_{default}", "syscalls": rules})
    told = [one for one in found if one.check == "comparisons-ignored"]
    assert [one.severity for one in told] == severities
    is_some = "never applies in containers with CAP_SYS_ADMIN: a rule"
    some = [one.sentence for one in told if is_some in one.sentence]
    assert some == [one.sentence for one in told if rules == [*PRIVILEGED, KILL_ONE]]


def _rule(action: str, *names: str, **more: Any) -> dict[str, Any]:
    return {"names": [*names], "action": f"SCMP_ACT_{action}", **more}


def _errno(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [*rules], **more}


def _allow(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**ALLOW_ALL, "syscalls": [*rules], **more}


def _named(*names: str, **more: Any) -> dict[str, Any]:
    return _errno(_rule("ALLOW", *names), **more)


def _clone3(*rules: dict[str, Any]) -> dict[str, Any]:
    return _errno(_rule("ALLOW", "faccessat2", "fchmodat2", "statx"), *rules)


ADMIN, BPF = {"caps": ["CAP_SYS_ADMIN"]}, {"caps": ["CAP_BPF"]}
ENOSYS = _rule("ERRNO", "clone3", errnoRet=38)
SPARING = {**ENOSYS, "excludes": ADMIN}
X86 = _abis("X86_64", "X86")
RING, SPLICE = _rule("ALLOW", "io_uring_setup"), _rule("ERRNO", "splice")
SOCKET, SOCKETS = _rule("ALLOW", "socket", args=TWICE[:1]), _rule("ALLOW", "socket")
SEMGET = _rule("ALLOW", "semget", args=TWICE[:1])
UMOUNT2, SHUT = _rule("ERRNO", "umount2"), _rule("ERRNO", "socketcall")
MAKERS = ("unshare", "clone3", "setns", "clone", "fork", "vfork")
BY_ARGUMENTS = "denies {}, wholly or by arguments, and allows io_uring_setup"
BY_SIBLING = "denies {}, but permits {}, which"
BY_MULTIPLEXER = "on SCMP_ARCH_X86, {} makes {} with"
DROPPED, LATER = "which equals the default, is dropped", "denies {} without ENOSYS"
NOTES = ("done-by-siblings", "exempt-from-filters")
Case = tuple[dict[str, Any], Version | None, str]  # what is said, "" if nothing
CASES: dict[str, list[Case]] = {
    "done-by-a-ring": [
        (_allow(SPLICE), None, BY_ARGUMENTS.format("splice")),
        (_allow({**SPLICE, "args": TWICE[:1]}), None, BY_ARGUMENTS.format("splice")),
        (_allow(SPLICE, _rule("ERRNO", *sibling_calls.RING_CALLS)), None, ""),
        (_errno(SOCKET, RING), None, BY_ARGUMENTS.format("socket")),
        (_errno(SOCKET, RING, SOCKETS), None, ""),
        (_errno(SOCKET), None, ""),
        (_errno(SOCKET, RING, {**SOCKETS, "includes": ADMIN}), None, BY_ARGUMENTS.format("socket")),
    ],
    "done-by-siblings": [
        (_allow(UMOUNT2), None, ""),
        (_allow(UMOUNT2, **X86), None, BY_SIBLING.format("umount2", "umount")),
        (_allow(_rule("ERRNO", "execveat")), None, BY_SIBLING.format("execveat", "execve")),
        (_allow(ENOSYS), None, ""),
        (_allow(_rule("ERRNO", "setns")), None, ""),
        (_allow(_rule("ERRNO", *MAKERS[:3])), None, BY_SIBLING.format("unshare", "clone")),
        (_allow(_rule("ERRNO", *MAKERS)), None, ""),
    ],
    "done-by-multiplexers": [
        (_errno(SOCKET, **X86), None, BY_MULTIPLEXER.format("socketcall", "socket")),
        (_errno(SOCKET, **_abis("X86_64")), None, ""),
        (_errno(SOCKETS, **X86), None, ""),
        (_errno(SOCKET, {**SHUT, "errnoRet": 38}, **X86), None, ""),
        (_errno(SOCKET, SHUT, **X86), None, DROPPED),
        (_errno(SOCKETS, SHUT, **X86), None, DROPPED),
        (_errno(SHUT, **X86), None, ""),
        (_errno(SEMGET, **X86), None, BY_MULTIPLEXER.format("ipc", "semget")),
    ],
    "fallback-denied": [
        (_named("read"), OLD, ""),
        (_named("read"), None, LATER.format("clone3, faccessat2, fchmodat2, statx")),
        (_named("openat2"), OLD, LATER.format("clone3, statx")),  # 437: between 435 and 439
        (_named("openat2", "statx", "clone3"), OLD, ""),
        (_named("read", defaultErrnoRet=38), None, ""),
        (_allow(_rule("ERRNO", "clone3")), OLD, LATER.format("clone3")),
        (_allow(ENOSYS), None, ""),
        (_allow(SPARING), None, ""),
        (_clone3(SPARING, _rule("ALLOW", "clone3", includes=ADMIN)), None, ""),
        # the default, with CAP_SYS_ADMIN
        (_clone3(SPARING, _rule("ALLOW", "clone3", includes=BPF)), None, LATER.format("clone3")),
        (_clone3(SPARING, ENOSYS), None, ""),
        (_clone3({**ENOSYS, "includes": ADMIN}), None, LATER.format("clone3")),  # without it
        (_clone3({**ENOSYS, "includes": ADMIN}, SPARING), None, ""),
    ],
    "waits-end": [
        (_named("poll"), None, "continues poll after a stop"),
        (_named("poll", "restart_syscall"), None, ""),
        (_named("read"), None, ""),
    ],
    "exempt-from-filters": [(_allow(_rule("ERRNO", "uretprobe")), None, "denies uretprobe, which")],
}


FOUND = [(check, *case) for check, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(("check", "document", "runc", "said"), FOUND)
def test_what_a_profile_lets_through_or_breaks_unseen_is_named(
    check: str, document: dict[str, Any], runc: Version | None, said: str
) -> None:
    told = [one for one in _found(document, runc) if one.check == check]
    severity = "note" if check in NOTES else "warning"
    assert {one.severity for one in told} == ({severity} if said else set())
    assert not told or said in told[0].sentence


def test_the_same_action_with_another_error_is_not_a_repetition() -> None:
    for number, is_same in ((1, False), (38, True)):
        document = _errno(_rule("ERRNO", "bpf", errnoRet=number), defaultErrnoRet=38)
        assert ("note: same-as-default" in _said(document)) is is_same


OF_ENGINES = [
    ("containerd@1.7.24", {"done-by-a-ring"}),
    ("moby@26.1.5", set()),
    ("containers-common@0.62.2", {"done-by-siblings"}),
    ("crio", {"same-as-default", "repeated-arguments", "done-by-siblings"}),
]


@pytest.mark.parametrize(("spec", "found"), OF_ENGINES)
def test_crios_profile_alone_has_faults_others_have_bypasses(spec: str, found: set[str]) -> None:
    findings = _checked(builtin.load(spec), OLD)
    of_all = {"unknown-syscalls", "upper-bits", "done-by-multiplexers"}
    assert {finding.check for finding in findings} - of_all == found


def test_without_libseccomp_a_note_says_no_name_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_pyseccomp(name: str, *args: Any) -> Any:
        if name == "pyseccomp":
            raise RuntimeError("Unable to find libseccomp")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_pyseccomp)
    [finding] = _found({**ALLOW_ALL, "syscalls": [{**RULE, "names": ["raed"]}]})
    assert (finding.check, finding.severity) == ("unknown-syscalls", "note")
    assert "libseccomp is not installed" in finding.sentence


BYPASSED = [
    ("ERRNO", "ALLOW", "NE", 40, True),
    ("ERRNO", "ALLOW", "GE", 40, True),
    ("ERRNO", "ALLOW", "GT", 40, True),
    ("ERRNO", "ALLOW", "EQ", 40, False),
    ("ERRNO", "ALLOW", "LT", 40, False),
    ("ERRNO", "ERRNO", "EQ", 40, False),  # runtimes drop it
    ("ALLOW", "ERRNO", "EQ", 40, True),
    ("ALLOW", "KILL", "LE", 40, True),
    ("ALLOW", "ERRNO", "GT", 40, False),
    ("ALLOW", "ERRNO", "MASKED_EQ", 0xFFFFFFFF, False),
    ("ALLOW", "ERRNO", "MASKED_EQ", 0xFFFFFFFFFFFFFFFF, True),
]


@pytest.mark.parametrize(("default", "action", "op", "value", "found"), BYPASSED)
def test_a_rule_that_upper_bits_bypass_is_found(
    default: str, action: str, op: str, value: int, found: bool
) -> None:
    compared = [{"index": 0, "value": value, "op": f"SCMP_CMP_{op}"}]
    one = {"names": ["socket", "clone"], "action": f"SCMP_ACT_{action}", "args": compared}
    document = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": [one]}
    told = [item for item in _found(document) if item.check == "upper-bits"]
    assert bool(told) == found
    assert all("(socket; as in CVE-2019-10063" in item.sentence for item in told)
