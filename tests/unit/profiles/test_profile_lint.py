"""The checks on a profile: each finds its fault, and none in the engines' own profiles."""

import builtins
from typing import Any

import pytest

from runc_wrap.profiles import (
    builtin,
    denial_lint,  # noqa: F401 - enters its checks
    profile_lint,
    sibling_calls,
)
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
    return [finding for check in profile_lint.CHECKS for finding in check(profile, context)]


def _named_rule(*names: str, **more: Any) -> dict[str, Any]:
    return {"syscalls": [{**RULE, "names": list(names), **more}]}


OUTSIDE = {"index": 1, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}


def _said(document: dict[str, Any], runc: Version | None = None) -> list[str]:
    return [f"{one.severity}: {one.check}" for one in _found(document, runc)]


def _abis(*names: str) -> dict[str, Any]:
    return {"architectures": [f"SCMP_ARCH_{name}" for name in names]}


TYPO = {"caps": ["CAP_SYS_ADMN"]}
OLD, LOG = Version(1, 1, 15), {"flags": ["SECCOMP_FILTER_FLAG_LOG"]}


@pytest.mark.parametrize(
    ("members", "runc", "found"),
    [
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
    ],
)
def test_each_check_finds_only_its_fault(
    members: Any, runc: Version | None, found: list[str]
) -> None:
    assert _said({**ALLOW_ALL, **members}, runc) == found


KILL_ONE = {**RULE, "action": "SCMP_ACT_KILL_PROCESS", "args": TWICE[:1]}
PASS = {**RULE, "action": "SCMP_ACT_ALLOW"}
PRIVILEGED = [{**PASS, "includes": {"caps": ["CAP_SYS_ADMIN"]}}]


@pytest.mark.parametrize(
    ("default", "rules", "severities"),
    [
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
    ],
)
def test_a_rule_on_arguments_beside_one_for_all_arguments_is_named(
    default: str, rules: list[dict[str, Any]], severities: list[str]
) -> None:
    """libseccomp keeps the one for all: less is denied than the text says, or more."""
    found = _found({"defaultAction": f"SCMP_ACT_{default}", "syscalls": rules})
    told = [one for one in found if one.check == "comparisons-ignored"]
    assert [one.severity for one in told] == severities
    is_some = "never applies in containers with CAP_SYS_ADMIN: a rule"
    assert [one.sentence for one in told if is_some in one.sentence] == [
        one.sentence for one in told if rules == [*PRIVILEGED, KILL_ONE]
    ]


def test_a_profile_that_allows_nothing_stops_the_runtime_itself() -> None:
    finding, another = _found({"defaultAction": "SCMP_ACT_ERRNO"})
    assert another.check == "fallback-denied"
    assert (finding.check, finding.severity) == ("runtime-calls-denied", "error")
    assert "capset" in finding.sentence
    assert "execve" in finding.sentence


RING = {"names": ["io_uring_setup"], "action": "SCMP_ACT_ALLOW"}
SPLICE = {"names": ["splice"], "action": "SCMP_ACT_ERRNO"}
ADMIN = {"caps": ["CAP_SYS_ADMIN"]}
SOCKET = {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": TWICE[:1]}


@pytest.mark.parametrize(
    ("default", "rules", "said"),
    [
        ("ALLOW", [SPLICE], "denies splice, wholly or by arguments, and allows io_uring_setup"),
        ("ALLOW", [{**SPLICE, "args": TWICE[:1]}], "denies splice, wholly or by arguments"),
        ("ALLOW", [SPLICE, {**SPLICE, "names": list(sibling_calls.RING_CALLS)}], None),
        ("ERRNO", [SOCKET, RING], "denies socket, wholly or by arguments"),
        ("ERRNO", [SOCKET, RING, {**SOCKET, "args": []}], None),
        ("ERRNO", [SOCKET], None),
        ("ERRNO", [SOCKET, RING, {**SOCKET, "args": [], "includes": ADMIN}], "denies socket"),
    ],
)
def test_a_denied_call_that_a_ring_still_makes_is_a_warning(
    default: str, rules: list[dict[str, Any]], said: str | None
) -> None:
    found = _found({"defaultAction": f"SCMP_ACT_{default}", "syscalls": rules})
    told = [one for one in found if one.check == "done-by-a-ring"]
    assert [one.severity for one in told] == ["warning"] * (said is not None)
    assert said is None or said in told[0].sentence


@pytest.mark.parametrize(
    ("members", "denied", "said"),
    [
        ({}, {"names": ["umount2"]}, None),
        (_abis("X86_64", "X86"), {"names": ["umount2"]}, "umount"),
        ({}, {"names": ["execveat"]}, "execve"),
        ({}, {"names": ["clone3"], "errnoRet": 38}, None),
        ({}, {"names": ["setns"]}, None),
        ({}, {"names": ["unshare", "clone3", "setns"]}, "clone"),
        ({}, {"names": ["unshare", "clone", "clone3", "setns", "fork", "vfork"]}, None),
    ],
)
def test_a_sibling_allowed_through_a_listed_abi_is_a_note(
    members: dict[str, Any], denied: dict[str, Any], said: str | None
) -> None:
    rule = {"action": "SCMP_ACT_ERRNO", **denied}
    found = _found({**ALLOW_ALL, **members, "syscalls": [rule]})
    told = [one for one in found if one.check == "done-by-siblings"]
    assert {one.severity for one in told} == ({"note"} if said else set())
    if said:
        assert f"denies {denied['names'][0]}, but permits {said}, which" in told[0].sentence


X86 = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
FAMILY: dict[str, Any] = {**SOCKET, "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}
SHUT = {"names": ["socketcall"], "action": "SCMP_ACT_ERRNO"}


@pytest.mark.parametrize(
    ("abis", "rules", "said"),
    [
        (X86, [FAMILY], ["on SCMP_ARCH_X86, socketcall makes socket with any arguments"]),
        (X86[:1], [FAMILY], []),
        (X86, [{**SOCKET, "args": []}], []),
        (X86, [FAMILY, {**SHUT, "errnoRet": 38}], []),
        (X86, [FAMILY, SHUT], ["which equals the default, is dropped"]),
        (X86, [{**SOCKET, "args": []}, SHUT], ["which equals the default, is dropped"]),
        (X86, [SHUT], []),
        (X86, [{**FAMILY, "names": ["semget"]}], ["on SCMP_ARCH_X86, ipc makes semget with any"]),
    ],
)
def test_arguments_that_nobody_compares_on_an_abi_with_a_multiplexer_are_a_warning(
    abis: list[str], rules: list[dict[str, Any]], said: list[str]
) -> None:
    document = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": abis, "syscalls": rules}
    found = [one for one in _found(document) if one.check == "done-by-multiplexers"]
    assert [one.severity for one in found] == ["warning"] * len(said)
    assert [words in one.sentence for words, one in zip(said, found, strict=True)] == [True] * len(
        said
    )


def _named(*names: str, **more: Any) -> dict[str, Any]:
    rule = {"names": [*names], "action": "SCMP_ACT_ALLOW"}
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule], **more}


def _clone3(allowed_with: str) -> dict[str, Any]:
    denied = {**RULE, "names": ["clone3"], "errnoRet": 38}
    allowed = {"names": ["clone3"], "action": "SCMP_ACT_ALLOW"}
    document = _named("faccessat2", "fchmodat2", "statx")
    document["syscalls"] += [
        {**denied, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {**allowed, "includes": {"caps": [allowed_with]}},
    ]
    return document


@pytest.mark.parametrize(
    ("document", "runc", "calls"),
    [
        (_named("read"), OLD, ""),
        (_named("read"), None, "clone3, faccessat2, fchmodat2, statx"),
        (_named("openat2"), OLD, "clone3, statx"),  # 437: between 435 and 439
        (_named("openat2", "statx", "clone3"), OLD, ""),
        (_named("read", defaultErrnoRet=38), None, ""),
        ({**ALLOW_ALL, "syscalls": [{**RULE, "names": ["clone3"]}]}, OLD, "clone3"),
        ({**ALLOW_ALL, "syscalls": [{**RULE, "names": ["clone3"], "errnoRet": 38}]}, None, ""),
        (_clone3("CAP_SYS_ADMIN"), None, ""),
        (_clone3("CAP_BPF"), None, "clone3"),  # with CAP_SYS_ADMIN the default applies
    ],
)
def test_a_denial_after_which_no_older_call_is_tried_is_a_warning(
    document: dict[str, Any], runc: Version | None, calls: str
) -> None:
    found = [one for one in _found(document, runc) if one.check == "fallback-denied"]
    assert [one.severity for one in found] == ["warning"] * bool(calls)
    assert all(f"denies {calls} without ENOSYS" in one.sentence for one in found)


@pytest.mark.parametrize(
    ("names", "waiting"),
    [(["poll"], "poll"), (["poll", "restart_syscall"], ""), (["read"], "")],
)
def test_a_wait_that_the_kernel_cannot_continue_is_a_warning(
    names: list[str], waiting: str
) -> None:
    found = [one for one in _found(_named(*names)) if one.check == "waits-end"]
    assert [one.severity for one in found] == ["warning"] * bool(waiting)
    assert all(f"continues {waiting} after a stop" in one.sentence for one in found)


def test_a_denial_of_a_call_that_linux_does_not_filter_is_a_note() -> None:
    [finding] = _found({**ALLOW_ALL, "syscalls": [{**RULE, "names": ["uretprobe"]}]})
    assert (finding.check, finding.severity) == ("exempt-from-filters", "note")
    assert "denies uretprobe, which Linux since 6.14" in finding.sentence


def test_the_same_action_with_another_error_is_not_a_repetition() -> None:
    rule = {"names": ["bpf"], "action": "SCMP_ACT_ERRNO"}
    document = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38}
    assert "note: same-as-default" not in _said({**document, "syscalls": [rule]})
    assert "note: same-as-default" in _said({**document, "syscalls": [{**rule, "errnoRet": 38}]})


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("containerd@1.7.24", {"done-by-a-ring"}),
        ("moby@26.1.5", set()),
        ("containers-common@0.62.2", {"done-by-siblings"}),
        ("crio", {"same-as-default", "repeated-arguments", "done-by-siblings"}),
    ],
)
def test_of_the_engines_profiles_only_crios_has_faults_and_others_have_bypasses(
    spec: str, found: set[str]
) -> None:
    findings = _checked(builtin.load(spec), OLD)
    of_all = {"unknown-syscalls", "upper-bits", "done-by-multiplexers"}
    assert {finding.check for finding in findings} - of_all == found


def test_without_libseccomp_a_note_says_that_names_were_not_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def without_pyseccomp(name: str, *args: Any) -> Any:
        if name == "pyseccomp":
            raise RuntimeError("Unable to find libseccomp")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_pyseccomp)
    [finding] = _found({**ALLOW_ALL, "syscalls": [{**RULE, "names": ["raed"]}]})
    assert (finding.check, finding.severity) == ("unknown-syscalls", "note")
    assert "libseccomp is not installed" in finding.sentence


def test_every_finding_has_a_place_and_a_remedy() -> None:
    document = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "architectures": ["SCMP_ARCH_LOONGARCH64"],
        "syscalls": [{"names": ["raed"], "action": "SCMP_ACT_ERRNO", "args": TWICE}],
    }
    findings = _found(document, OLD)
    assert len(findings) == 7
    assert all(finding.place and finding.sentence and finding.remedy for finding in findings)


@pytest.mark.parametrize(
    ("default", "action", "op", "value", "found"),
    [
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
    ],
)
def test_a_rule_that_upper_bits_bypass_is_found(
    default: str,
    action: str,
    op: str,
    value: int,
    found: bool,
) -> None:
    compared = [{"index": 0, "value": value, "op": f"SCMP_CMP_{op}"}]
    one = {"names": ["socket", "clone"], "action": f"SCMP_ACT_{action}", "args": compared}
    document = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": [one]}
    told = [item for item in _found(document) if item.check == "upper-bits"]
    assert bool(told) == found
    assert all("(socket; as in CVE-2019-10063" in item.sentence for item in told)
