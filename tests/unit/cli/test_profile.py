"""runc-wrapctl profile list, show, groups, diff, lint and simulate, and what record refuses."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from harness.node.requirements import machine
from runc_wrap.node import flush_request
from runc_wrap.node.flush_request import FlushAnswer
from runc_wrap.report import profile_simulation
from tests.unit.cli.conftest import APP, Evidence
from tests.unit.cli.ctl import Node
from tests.unit.evidence import samples
from tests.unit.node.machine import fake
from tests.unit.policy.node import PROFILE


def test_the_list_has_the_built_in_ones_and_the_owners_one_line_each(applied: Node) -> None:
    applied.configure("", own=PROFILE)
    rows = {row["name"]: row for row in applied.json("profile", "list")}
    assert set(rows) == {"containerd", "containers-common", "crio", "moby", "localhost/own.json"}
    assert rows["containers-common"]["runtime_default_of"] == ["podman", "buildah"]
    assert rows["localhost/own.json"]["source"] == str(applied.places.profiles / "own.json")
    assert rows["moby"]["source"] == "built in"
    applied.configure("", **{"o" * 150: PROFILE, "[red]": PROFILE})
    lines = applied.ctl("profile", "list").stdout.splitlines()
    assert lines[0].split() == ["profile", "from", "runtime-default", "of"]
    assert len(lines) == 1 + 4 + 3
    assert any(line.startswith("localhost/[red].json ") for line in lines)


@pytest.mark.parametrize("caps", ["", "sys_admin", "CAP_SYS_ADMIN,NET_RAW", "all"])
def test_a_profile_is_shown_as_one_with_these_capabilities_gets_it(caps: str, node: Node) -> None:
    words = ("profile", "show", "moby@26.1.5", "--arch", "arm64", *["--caps", caps] * bool(caps))
    shown = node.ctl(*words, status=0).stdout
    assert ('"mount"' in shown, "SCMP_ARCH_AARCH64" in shown) == (bool(caps), True)


def test_runtime_default_is_that_of_the_given_engine(applied: Node) -> None:
    shown = applied.ctl("profile", "show", "runtime-default", "--engine", "podman", status=0)
    assert shown.stdout == applied.ctl("profile", "show", "containers-common").stdout


UNKNOWN = [
    (["dokcer"], "no built-in profile is called 'dokcer'; there are"),
    (["localhost/x"], "there is no file x in the profile directory; it has"),
    (["x.json"], "write ./x.json for a file"),
    (["moby", "--arch", "vax"], "the architecture 'vax' is not known"),
    (["moby", "--caps", "SYS_ADMN\x1b"], "CAP_SYS_ADMN\\x1b: no such capability"),
    (["moby@1"], "older than the built-in profiles"),
    (["crio + moby@99.1"], "moby 99.1.0 is newer than the built-in profiles, 23.0.0 to"),
    (["moby@captured"], "no such profile is captured; captured are: none"),
    (["runtime-default"], "Run `runc-wrapctl apply`"),
    ([""], "no built-in profile is called ''; there are"),
    (["moby +@aio"], "write blanks on both sides of each + and -"),
    (["moby + mount -mlock"], "blanks stand on both sides of + and -"),
    (["moby + runtime-default"], "runtime-default can only be the base"),
]


@pytest.mark.parametrize(("words", "said"), UNKNOWN)
def test_a_profile_that_cannot_be_shown_is_named(words: list[str], said: str, node: Node) -> None:
    assert said in node.failure("profile", "show", *words)


def test_a_base_that_cannot_be_found_is_reported(node: Node) -> None:
    for base, said in (
        ("localhost/none.json", "directory, which localhost/own.json names"),
        ("localhost/own.json", "localhost/own.json: a chain of more than 8 bases leads to it"),
        ("moby + localhost/own.json", "localhost/own.json: a chain of more than 8 bases leads"),
    ):
        node.configure("", own=json.dumps({"base": base}).encode())
        assert said in node.failure("profile", "show", "localhost/own.json")


def test_a_composed_profile_says_which_part_decides(applied: Node) -> None:
    name = "runtime-default + @aio - keyctl"
    answers = applied.json("profile", "show", name, "--explain")
    assert (answers["io_setup"], answers["keyctl"]) == (["+ @aio"], ["- keyctl"])
    assert answers["read"] == ["runtime-default"]
    shown = applied.json("profile", "show", name)
    named = {call for rule in shown["syscalls"] for call in rule["names"]}
    assert "io_uring_setup" in named
    assert "keyctl" not in named
    applied.apply(f'[default]\nprofile = "{name}"\n')
    compiled = json.loads((applied.places.current / "policy.json").read_text())["composed"][name]
    for engine, base in (("containerd", "containerd"), ("docker", "moby")):
        assert compiled[engine].startswith(f"{name} on {base}")


def test_every_call_is_answered_also_by_the_default_and_by_the_overlay(applied: Node) -> None:
    name = "containerd + @aio - keyctl"
    applied.configure('[overlay]\ndeny = ["splice", "clone3"]\ndeny_sockets = ["AF_ALG"]\n')
    answers = applied.json("profile", "show", name, "--explain")
    default = "containerd: its default action SCMP_ACT_ERRNO(EPERM)"
    assert (answers["splice"], answers["personality"]) == (["overlay"], ["containerd", default])
    assert answers["socket"] == ["containerd", default, "overlay"]
    assert answers["clone3"] == ["containerd"]  # which denies it by a rule of its own
    machine("x86_64")
    assert answers["socketcall"] == ["containerd"]  # a rule of its own on all arguments
    assert answers["uselib"] == answers["acct"]
    assert answers["acct"] == [default]
    of_some = applied.json("profile", "show", name, "--explain", "--caps", "sys_pacct")
    assert (of_some["acct"], of_some["keyctl"]) == (["containerd"], ["- keyctl"])
    assert len({*answers}) > 400
    applied.configure("", own=_always("keyctl", "ERRNO"))
    answers = applied.json("profile", "show", "localhost/own.json", "--explain")
    assert answers["keyctl"] == ["own.json"]  # the comparison always holds
    applied.configure('[overlay]\ndeny = ["keyctl"]\n')
    answers = applied.json("profile", "show", "localhost/own.json", "--explain")
    assert answers["keyctl"] == ["overlay"]  # which drops denials with comparisons


def _always(call: str, action: str) -> bytes:
    """Return a profile with a rule on a call whose comparison always holds: a mask without bits."""
    args = [{"index": 0, "value": 0, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    return _profile("ALLOW", {**_rule(call, action), "args": args}).encode()


def _rule(name: str, action: str, *compared: tuple[str, int]) -> dict[str, Any]:
    """Return a rule on a call, under comparisons of its first argument."""
    args = [{"index": 0, "value": value, "op": f"SCMP_CMP_{op}"} for op, value in compared]
    return {"names": [name], "action": f"SCMP_ACT_{action}", "args": args}


def _profile(default: str, *rules: dict[str, Any], **more: Any) -> str:
    """Return a profile as people write them, with a description, which runtimes ignore."""
    whole = {"defaultAction": f"SCMP_ACT_{default}", "syscalls": rules}
    return json.dumps({"description": "as in the field", **whole, **more})


def _differ(node: Node, tmp_path: Path, first: str, second: str) -> Any:
    path = tmp_path / "a.json"
    path.write_text(first)
    result = node.ctl("profile", "diff", str(path), "-", "--json", stdin=second, status=1)
    return json.loads(result.stdout)


def test_what_differs_by_arguments_or_capabilities_is_named(applied: Node, tmp_path: Path) -> None:
    held = {**_rule("bpf", "ALLOW"), "includes": {"caps": ["CAP_BPF"]}}
    first = _profile("ERRNO", _rule("read", "ALLOW"))
    second = _profile("ERRNO", _rule("socket", "ALLOW", ("LT", 40)), held)
    document = _differ(applied, tmp_path, first, second)
    rows = {one["syscall"]: one for one in document["differences"]}
    assert rows["socket"]["arguments"] == "argument 0 is 0x0 to 0x27"
    assert rows["bpf"]["capabilities"] == ["CAP_BPF"]
    said = "The second denies 1 call more, allows 2 calls more (1 under arguments), denies"
    assert document["summary"].startswith(said)  # runc answers ENOSYS above what a profile names


def test_a_call_with_too_many_arguments_to_try_is_named(applied: Node, tmp_path: Path) -> None:
    some = [
        [{"index": at, "value": 9 * n, "op": "SCMP_CMP_EQ"} for at in range(4)] for n in range(5)
    ]
    four = [{**_rule("acct", "ALLOW"), "args": args} for args in some]
    more = [*four, _rule("acct", "KILL", ("EQ", 7))]
    document = _differ(applied, tmp_path, _profile("ERRNO", *four), _profile("ERRNO", *more))
    assert document["differences"][0]["partial"]
    assert "error or signal. acct: not all arguments were tried" in document["summary"]


OTHERWISE = "The second denies 1 call with another error or signal."
LOGS = "The second logs 1 call otherwise or asks about them."


ALIKE = [
    ("ALLOW", "TRAP", "ERRNO", OTHERWISE),
    ("ALLOW", "ERRNO", "KILL", OTHERWISE),
    ("ALLOW", "TRACE", "TRAP", OTHERWISE),
    ("ERRNO", "ALLOW", "LOG", LOGS),
    ("ERRNO", "LOG", "ALLOW", LOGS),
]


@pytest.mark.parametrize(("default", "first", "second", "said"), ALIKE)
def test_a_call_that_both_deny_or_both_let_through_counts_neither_as_denied_nor_as_allowed_more(
    applied: Node, tmp_path: Path, default: str, *, first: str, second: str, said: str
) -> None:
    two = (_profile(default, _rule("acct", action)) for action in (first, second))
    assert _differ(applied, tmp_path, *two)["summary"] == said


def test_a_range_without_end_is_one_row_for_abis_of_64_and_of_32_bits(
    applied: Node, tmp_path: Path
) -> None:
    machine("x86_64")
    abis = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    one, other = (_rule("socket", "ALLOW", compared) for compared in (("LT", 40), ("NE", 38)))
    two = (_profile("ERRNO", rule, architectures=abis) for rule in (one, other))
    rows = {one["arguments"]: one for one in _differ(applied, tmp_path, *two)["differences"]}
    assert set(rows) == {"argument 0 is 0x28 and above", "argument 0 is 0x26"}
    assert [one["abis"] for one in rows.values()] == [["x86_64", "x86"]] * 2


def _wide_ranges() -> str:
    """Return a profile with ranges of the second argument, which libseccomp compiles wrongly."""
    ranges = [_rule("mmap", "ALLOW", ("LT", value)) for value in (3, 1 << 33)]
    for one in ranges:
        one["args"][0]["index"] = 1
    return _profile("ERRNO", *ranges, _rule("socket", "ALLOW", ("NE", 40)))


def test_lint_says_what_the_node_makes_of_a_profile_and_groups_are_listed(applied: Node) -> None:
    bad = _profile("ERRNO", _rule("no_such_call", "ALLOW"))
    result = applied.ctl("profile", "lint", "-", stdin=bad, status=1)
    assert "libseccomp does not know no_such_call" in result.stdout
    machine("x86_64")
    result = applied.ctl("profile", "lint", "-", "--json", stdin=_wide_ranges())
    found = {one["check"]: one for one in json.loads(result.stdout)}
    assert "mmap(0x0, 0x3, " in found["compiled-wrongly"]["sentence"]
    assert "SCMP_CMP_MASKED_EQ" in found["compiled-wrongly"]["remedy"]
    assert found["compiled-wrongly"]["severity"] == "warning"  # `apply` writes masks
    assert "upper-bits" not in found  # `apply` compares only the bits that the kernel uses
    both = _profile("ALLOW", _rule("socket", "KILL", ("LT", 9)), _rule("socket", "LOG", ("NE", 5)))
    said = applied.ctl("profile", "lint", "-", stdin=both).stdout
    assert ("socket: compared as written" in said, "int_arguments" in said) == (True, False)
    applied.configure('[default]\nint_arguments = "engine"\n')
    assert "(socket; as in CVE" in applied.ctl("profile", "lint", "moby").stdout
    assert "(socket; as in" not in applied.ctl("profile", "lint", "-", stdin=bad).stdout
    assert "io_submit\n" in applied.ctl("profile", "groups", "@aio").stdout
    assert applied.json("profile", "groups", "@aio")["source"].startswith("systemd ")
    told = "no group is called '@ai' (did you mean @aio?)"
    assert told in applied.failure("profile", "groups", "@ai")


IN_FORCE = [
    ('[default]\nabis = "native"\n', "moby", "socketcall makes socket"),
    ('[default]\nabis = "native"\n', "-", "acct(0x8, 0x0, 0x0, 0x0, 0x0, 0x0) on x86 gets"),
    ('[overlay]\ndeny = ["acct"]\n', "-", "acct(0x8, 0x0, 0x0, 0x0, 0x0, 0x0) on x86 gets"),
    ('runtime = ["crun"]\n', "-", "refuses every profile with flags"),
]


LOG = "SECCOMP_FILTER_FLAG_LOG"


@pytest.mark.parametrize(("policy", "name", "said"), IN_FORCE)
def test_lint_checks_a_profile_as_the_policy_would_enforce_it(
    applied: Node, policy: str, name: str, said: str
) -> None:
    machine("x86_64")
    both = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    wide = _rule("acct", "ERRNO", ("EQ", (1 << 32) + 8))
    profile = _profile("ALLOW", wide, _rule("openat", "ERRNO"), architectures=both, flags=[LOG])
    fake(applied.programs, "crun", "echo crun version 1.21")
    assert said in applied.ctl("profile", "lint", name, stdin=profile).stdout
    applied.configure(policy)
    assert said not in applied.ctl("profile", "lint", name, stdin=profile).stdout


RECORD = (
    "type=SECCOMP msg=audit(1700000000.123:7): auid=0 uid=0 gid=0 ses=1 pid=9 "
    'comm="x" exe="/x" sig=0 arch=c000003e syscall=165 compat=0 ip=0x1 code=0x7ffc0000\n'
)


def _simulated(node: Node, tmp_path: Path, profile: str, calls: str, *words: str) -> Result:
    """Judge these calls by a profile, which is a name or its text."""
    path = tmp_path / "calls"
    path.write_text(calls)
    name, text = ("-", profile) if profile.startswith("{") else (profile, "")
    return node.ctl("profile", "simulate", name, str(path), *words, stdin=text)


ENOSYS = _profile("ERRNO", _rule("getpid", "ALLOW"), defaultErrnoRet=38)
KILLING = _profile("KILL_PROCESS", _rule("getpid", "ALLOW"))
Judged = tuple[str, str, int, str]  # a row's call, verdict, count, and where it is first
MOUNT: Judged = ("mount", "denied", 1, "line 1")
CLONE3: Judged = ("clone3", "degrades", 1, "line 2")


SIMULATED = [
    ("containerd@2.3.1", "getpid() = 1\nmount(0, 0) = 0\nmount(0, 0) = 0\n",
     ("mount", "denied", 2, "line 2"), 1),
    ("containerd@2.3.1", "socket(AF_INET, 1, 0) = 3\n", ("socket", "depends", 1, "line 1"), 1),
    ("containerd@2.3.1", "[  41] socket(0x2, 1, 0) = 3\n", None, 0),
    ("containerd@2.3.1", "[  41] socket(0x100000028, 1, 0) = 3\n",
     ("socket", "denied", 1, "line 1"), 1),
    ("containerd@2.3.1", "[  56] clone(child_stack=NULL, flags=0x1200000|17) = 5\n", None, 0),
    ("containerd@2.3.1", "[ 435] clone3({flags=0x10000000, exit_signal=17}, 88) = 5\n",
     ("clone3", "denied", 1, "line 1"), 1),
    ("containerd@2.3.1", RECORD, MOUNT, 1),
    ("containerd@2.3.1", f"{'x' * 65536}mount(0) = 0\numount2(0, 0) = 0\n",
     ("umount2", "denied", 1, "line 2"), 1),
    # what gets ENOSYS is denied, unless C libraries make another call
    (ENOSYS, "[  39] getpid() = 1\n[ 165] mount(0, 0) = 0",
     ("mount", "degrades", 1, "line 2"), 1),
    (ENOSYS, "[  39] getpid() = 1\n[ 435] clone3({flags=0x3d0f00}, 88) = 9", CLONE3, 0),
    (ENOSYS, "[  39] getpid() = 1\n[ 435] clone3({flags=0x200000000, cgroup=5}, 88) = 9",
     CLONE3, 1),
    (ENOSYS, "[  39] getpid() = 1\n[ 435] clone3({flags=0, set_tid=[7]}, 88) = 9", CLONE3, 1),
    (ENOSYS, "[  39] getpid() = 1\n[ 435] clone3(0x1, 88) = 9", CLONE3, 1),
    # a call that has no name here
    (KILLING, "getpid() = 1\n[ 511] frob(1) = 0", ("#511", "depends", 1, "line 2"), 1),
    (KILLING, "getpid() = 1\nsyscall_0x1ff(1) = 0", ("#511", "depends", 1, "line 2"), 1),
    (KILLING, "getpid() = 1\n[???] syscall_0xffffffffffffffff(1) = -1 ENOSYS",
     ("#-1", "depends", 1, "line 2"), 1),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "calls", "row", "status"), SIMULATED)
def test_simulate_says_what_is_denied_and_where_first(
    applied: Node, tmp_path: Path, profile: str, calls: str, *, row: Judged | None, status: int
) -> None:
    result = _simulated(applied, tmp_path, profile, calls, "--json")
    assert result.exit_code == status, result.output
    found = json.loads(result.stdout)
    rows = [(o["syscall"], o["verdict"], o["count"], o["first"]) for o in found]
    assert rows == ([row] if row else [])


def test_simulate_without_a_file_judges_the_calls_in_the_evidence(
    applied: Node, evidence: Evidence
) -> None:
    evidence.container("c1", *[samples.sighting(samples.MOUNT)] * 2, **APP)
    (row,) = json.loads(applied.ctl("profile", "simulate", "moby", "--json", status=1).stdout)
    found = (row["syscall"], row["verdict"], row["count"], row["first"])
    assert found == ("mount", "denied", 2, "shop/web-7d9c8b5f6-x2k4p/app")


LACKS: list[tuple[FlushAnswer, int | None, int, str]] = [
    (FlushAnswer("no agent runs", is_absent=True), None, 0, ": no agent runs"),
    (FlushAnswer("it did not answer"), None, 1, ": it did not answer"),
    (FlushAnswer(""), None, 0, ""),
    (FlushAnswer(""), 5, 1, "note: 5 records were lost (they came too fast)"),
    (FlushAnswer(""), 0, 1, "note: some records were lost (they came too fast)"),
]


@pytest.mark.parametrize("lacks", LACKS)
def test_simulate_says_what_the_evidence_lacks(
    applied: Node, evidence: Evidence, monkeypatch: pytest.MonkeyPatch, lacks: Any
) -> None:
    """The agent is asked for what it has not yet written."""
    answer, lost, status, said = lacks
    write = partial(evidence.container, "c1", samples.sighting(samples.GETPID), **APP)
    monkeypatch.setattr(flush_request, "ask", lambda _: (write(), answer)[1])
    if lost is not None:
        evidence.lost(lost)
    result = applied.ctl("profile", "simulate", "moby", status=status)
    assert result.stdout == "It lets every call through that was judged.\n"
    assert said in result.stderr if said else not result.stderr


UNREADABLE = [
    RECORD.replace("SECCOMP", "SYSCALL"),
    RECORD.replace("syscall=165", "syscall=mount"),
    RECORD[: len(RECORD) // 2],
    f" {RECORD}",
    f"Nov 30 12:00:00 host audit[7]: {RECORD[5:]}",
    f"[  12.5] {RECORD.replace('SECCOMP msg=', '1326 ')}",
    "[  12.5] kauditd_printk_skb: 55 callbacks suppressed",
    '10 12:00:00.1 (+     0.000123) [  83] mkdir("x", 0700) = 0',
    '\t10 [  83] mkdir("x", 0700) = 0',
    '10<a> [ 0] read(">  [  83] mkdir("x", 0700) = 0',
    '10 [  83] chdir("x") = 0',
    "10 [????] ????( <detached ...>",
    "frob(1) = 0",
    "12 frob(1 <unfinished ...>",
]


def test_a_line_that_may_be_a_call_is_named(applied: Node, tmp_path: Path) -> None:
    whole = "[  39] getpid() = 1\nprintf(hello)\n7 <... read resumed>) = 1\n+++ exited with 0 +++\n"
    assert _simulated(applied, tmp_path, "moby", whole).exit_code == 0
    for line in UNREADABLE:
        result = _simulated(applied, tmp_path, "moby", whole + line)
        assert (result.exit_code, "the first is line 5" in result.stderr) == (1, True), line


def test_numbers_that_a_program_tries_count_together_and_named_calls_do_not(
    applied: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_simulation, "_MOST_ROWS", 2)
    numbers = [f"syscall_{number:#x}(0) = 0\n" for number in (5000, 5001, 5002, 5003, -1 % 2**64)]
    calls = "".join([*numbers, "mount(0, 0) = 0\n"])
    result = _simulated(applied, tmp_path, "moby", calls, "--json")
    found = [(one["syscall"], one["count"]) for one in json.loads(result.stdout)]
    assert found == [("mount", 1), ("#5000", 1), ("#5001", 1), ("other numbers", 3)]


FACCESSAT2 = "7 [ 439] faccessat2(-1) = 0\n"


ABIS = [
    ("native", "7 [  83] mkdir(0x1, 0777) = 0\n7 [  39] mkdir(0x1, 0777) = 0\n",
     [("mkdir", "x86", "line 2", 1)]),
    ("native", f"{FACCESSAT2}7 [  83] mkdir(0x1) = 0\n{FACCESSAT2}",
     [("faccessat2", "x86_64 or x86", "line 1", 1)]),
    # one through a multiplexer is judged as the call that it becomes
    ("native", "7 [ 102] socket(0x1, 0x1, 0) = 3\n", [("socketcall", "x86", "line 1", 1)]),
    ("moby@29.4.2", "7 [ 102] socket(0x1, 0x1, 0) = 3\n", [("socketcall", "x86", "line 1", 1)]),
    ("moby@29.4.3", "7 [ 102] socket(0x1, 0x1, 0) = 3\n", []),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "lines", "found"), ABIS)
def test_a_traced_call_has_the_abi_of_its_number(
    applied: Node, tmp_path: Path, profile: str, lines: str, found: list[Any]
) -> None:
    machine("x86_64")
    native = _profile("ALLOW", architectures=["SCMP_ARCH_X86_64"])
    of = native if profile == "native" else profile
    rows = json.loads(_simulated(applied, tmp_path, of, lines, "--json").stdout)
    assert [(one["syscall"], one["abi"], one["first"], one["count"]) for one in rows] == found


@pytest.mark.parametrize(("setting", "verdict"), [("kernel", "denied"), ("engine", "depends")])
@pytest.mark.parametrize("value", ["-77777", "0xfffed02f"])
def test_a_negative_argument_is_judged_with_and_without_its_sign(
    applied: Node, tmp_path: Path, setting: str, verdict: str, value: str
) -> None:
    applied.configure(f'[default]\nint_arguments = "{setting}"\n')
    profile = _profile("ALLOW", _rule("kill", "ERRNO", ("EQ", 0xFFFED02F)))
    call = f"7 [  62] kill({value}, 0) = 0\n"
    (found,) = json.loads(_simulated(applied, tmp_path, profile, call, "--json").stdout)
    assert found["verdict"] == verdict


POLICIES = [
    ('[default]\nabis = "native"\n', "7 [  39] mkdir(0x1) = 0"),
    ('[overlay]\ndeny = ["splice"]\n', "7 [ 275] splice(0) = 0"),
]


@pytest.mark.parametrize(("policy", "line"), POLICIES)
def test_a_profile_is_judged_and_shown_as_the_policy_enforces_it(
    applied: Node, tmp_path: Path, policy: str, line: str
) -> None:
    machine("x86_64")
    assert _simulated(applied, tmp_path, "moby", line).exit_code == 0
    before = applied.ctl("profile", "show", "moby").stdout
    applied.configure(policy)
    assert _simulated(applied, tmp_path, "moby", line).exit_code == 1
    assert applied.ctl("profile", "show", "moby").stdout != before


TRACED = [
    ("X86", "7 mkdir", True),
    ("X32", "7 mkdir", True),
    ("X86", "7 [  83] mkdir", False),
    ("X86_64", "7 mkdir", True),
]


@pytest.mark.parametrize(("abi", "line", "said"), TRACED)
def test_a_trace_that_cannot_tell_32_bit_programs_says_so(
    applied: Node, tmp_path: Path, abi: str, line: str, said: bool
) -> None:
    machine("x86_64")
    profile = _profile("ALLOW", architectures=[f"SCMP_ARCH_{abi}"])
    result = _simulated(applied, tmp_path, profile, f"{line}(0x1, 0777) = 0\n")
    assert ("Calls of 32-bit and x32 programs count as 64-bit ones" in result.stderr) is said
    assert result.exit_code == said


def test_what_shows_no_call_has_no_verdict(applied: Node, tmp_path: Path) -> None:
    for calls in ("", "hello\n", RECORD.replace("SECCOMP", "SYSCALL")):
        result = _simulated(applied, tmp_path, "moby", calls)
        assert (result.exit_code, "no call could be read" in result.stderr) == (2, True)


def test_a_file_that_cannot_be_written_is_noticed_before(applied: Node, tmp_path: Path) -> None:
    done = tmp_path / "done"
    for file, said in (("none/p.json", "the command was not run"), (".", "is a directory")):
        words = ("-o", str(tmp_path / file), "--", "touch", str(done))
        assert said in applied.failure("profile", "record", *words)
        assert not done.exists()
