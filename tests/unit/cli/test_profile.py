"""runc-wrapctl profile list, show, groups, diff, lint and simulate, and what record refuses."""

import json
from pathlib import Path

import pytest

from harness.node.requirements import machine
from runc_wrap.report import profile_simulation
from tests.unit.cli.ctl import Node
from tests.unit.policy.node import PROFILE, profile


def test_the_list_has_the_built_in_ones_and_the_owners(applied: Node) -> None:
    applied.configure("", own=PROFILE)
    rows = {row["name"]: row for row in applied.json("profile", "list")}
    assert set(rows) == {"containerd", "containers-common", "crio", "moby", "localhost/own.json"}
    assert rows["containers-common"]["runtime_default_of"] == ["podman", "buildah"]
    assert rows["localhost/own.json"]["source"] == str(applied.places.profiles / "own.json")
    assert rows["moby"]["source"] == "built in"


def test_the_table_says_the_same_one_line_each(applied: Node) -> None:
    applied.configure("", **{"o" * 150: PROFILE, "[red]": PROFILE})
    lines = applied.ctl("profile", "list").stdout.splitlines()
    assert lines[0].split() == ["profile", "from", "runtime-default", "of"]
    assert len(lines) == 7
    assert any(line.startswith("localhost/[red].json ") for line in lines)


@pytest.mark.parametrize(
    ("words", "called"),
    [
        ([], False),
        (["--caps", "sys_admin"], True),
        (["--caps", "CAP_SYS_ADMIN,NET_RAW"], True),
        (["--caps", "all"], True),
    ],
)
def test_a_profile_is_shown_as_a_container_with_these_capabilities_gets_it(
    words: list[str], called: bool, node: Node
) -> None:
    result = node.ctl("profile", "show", "moby@26.1.5", "--arch", "arm64", *words)
    assert result.exit_code == 0
    assert ('"mount"' in result.stdout) is called
    assert "SCMP_ARCH_AARCH64" in result.stdout


def test_runtime_default_is_that_of_the_given_engine(applied: Node) -> None:
    shown = [
        applied.ctl("profile", "show", *words).stdout
        for words in (["runtime-default", "--engine", "podman"], ["containers-common"])
    ]
    assert shown[0] == shown[1] != ""


def test_an_own_profile_is_shown(node: Node) -> None:
    node.configure("", own=profile(syscalls=[{"names": ["bpf"], "action": "SCMP_ACT_KILL"}]))
    assert '"SCMP_ACT_KILL"' in node.ctl("profile", "show", "localhost/own.json").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dokcer"], "no built-in profile is called 'dokcer'; there are"),
        (["localhost/x"], "there is no file x in the profile directory; it has"),
        (["x.json"], "write ./x.json for a file"),
        (["moby", "--arch", "vax"], "the architecture 'vax' is not known"),
        (["moby", "--caps", "SYS_ADMN\x1b"], "CAP_SYS_ADMN\\x1b: no such capability"),
        (["moby@1"], "older than the built-in profiles"),
        (["crio + moby@99.1"], "moby 99.1.0 is newer than the built-in profiles, 23.0.0 to"),
        (["moby@captured"], "no such profile is captured; captured are: none"),
        (["runtime-default"], "Run `runc-wrapctl apply`"),
    ],
)
def test_a_profile_that_cannot_be_shown_is_reported(
    words: list[str], said: str, node: Node
) -> None:
    assert said in node.failure("profile", "show", *words)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("none.json", "no file none.json in the profile directory, which localhost/own.json names"),
        ("own.json", "a chain of more than 8 bases leads to it, or a circle"),
    ],
)
def test_a_base_that_cannot_be_found_is_reported(base: str, said: str, node: Node) -> None:
    node.configure("", own=json.dumps({"base": f"localhost/{base}"}).encode())
    assert said in node.failure("profile", "show", "localhost/own.json")


def test_a_composed_profile_says_which_part_decides(applied: Node) -> None:
    name = "runtime-default + @aio - keyctl"
    answers = applied.json("profile", "show", name, "--explain")
    assert answers["io_setup"] == ["+ @aio"]
    assert answers["keyctl"] == ["- keyctl"]
    assert answers["read"] == ["runtime-default"]
    shown = applied.json("profile", "show", name)
    named = {call for rule in shown["syscalls"] for call in rule["names"]}
    assert "io_uring_setup" in named
    assert "keyctl" not in named
    applied.apply(f'[default]\nprofile = "{name}"\n')
    compiled = json.loads((applied.places.current / "policy.json").read_text())["composed"][name]
    for engine, base in (("containerd", "containerd"), ("docker", "moby")):
        assert compiled[engine].startswith(f"{name} on {base}")


def test_two_releases_differ_call_by_call_and_one_is_itself(applied: Node) -> None:
    result = applied.ctl("profile", "diff", "containerd@1.7.24", "containerd@2.1.0")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "The second denies 3 calls more."
    assert "io_uring_setup" in result.stdout
    same = applied.ctl("profile", "diff", "containerd", "containerd")
    assert (same.exit_code, same.stdout) == (0, "They do the same for every call.\n")


def test_what_differs_under_arguments_and_capabilities_is_named(
    applied: Node, tmp_path: Path
) -> None:
    base, other = tmp_path / "a.json", tmp_path / "b.json"
    read = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
    at = {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
          "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_LT"}]}  # fmt: skip
    held = {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF"]}}
    base.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [read]}))
    other.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [at, held]}))
    result = applied.ctl("profile", "diff", str(base), str(other), "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    rows = {one["syscall"]: one for one in document["differences"]}
    assert rows["socket"]["arguments"] == "argument 0 is 0x0 to 0x27"
    assert rows["bpf"]["capabilities"] == ["CAP_BPF"]
    said = "The second denies 1 call more, allows 2 calls more (1 under arguments), denies"
    assert document["summary"].startswith(said)  # runc answers ENOSYS above what a profile names


@pytest.mark.parametrize(
    ("first", "second"), [("TRAP", "ERRNO"), ("ERRNO", "KILL"), ("TRACE", "TRAP")]
)
def test_a_call_that_both_deny_counts_neither_as_denied_nor_as_allowed_more(
    applied: Node, tmp_path: Path, first: str, second: str
) -> None:
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for path, action in zip(paths, (first, second), strict=True):
        rule = {"names": ["acct"], "action": f"SCMP_ACT_{action}"}
        path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    result = applied.ctl("profile", "diff", *map(str, paths))
    said = "The second denies 1 call with another error or signal."
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (1, said)


def test_a_call_that_is_logged_or_asked_about_counts_as_no_denial(
    applied: Node, tmp_path: Path
) -> None:
    plain, other = tmp_path / "a.json", tmp_path / "b.json"
    for path, action in ((plain, "ALLOW"), (other, "LOG")):
        rule = {"names": ["keyctl"], "action": f"SCMP_ACT_{action}"}
        path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}))
    for two in ((plain, other), (other, plain)):
        said = applied.ctl("profile", "diff", *map(str, two)).stdout.splitlines()[-1]
        assert said == "The second logs 1 call otherwise or asks about them."


def test_a_range_without_end_is_one_row_for_abis_of_64_and_of_32_bits(
    applied: Node, tmp_path: Path
) -> None:
    machine("x86_64")
    path = tmp_path / "a.json"
    path.write_text(_socket("LT", 40))
    result = applied.ctl("profile", "diff", str(path), "-", "--json", stdin=_socket("NE", 38))
    rows = {one["arguments"]: one for one in json.loads(result.stdout)["differences"]}
    assert set(rows) == {"argument 0 is 0x28 and above", "argument 0 is 0x26"}
    assert [one["abis"] for one in rows.values()] == [["x86_64", "x86"]] * 2


def _socket(op: str, value: int) -> str:
    """Return a profile as people write them, with a description, which runtimes ignore."""
    args = [{"index": 0, "value": value, "op": f"SCMP_CMP_{op}"}]
    rule = {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": args}
    abis = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    whole = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": abis, "syscalls": [rule]}
    return json.dumps({"description": "as in the field", **whole})


def _wide_ranges() -> str:
    ranges = [
        {
            "names": ["mmap"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 1, "value": value, "op": "SCMP_CMP_LT"}],
        }
        for value in (3, 1 << 33)
    ]
    one = {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
        {"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]}  # fmt: skip
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [*ranges, one]})


def test_lint_says_what_the_node_makes_of_a_profile_and_groups_are_listed(
    applied: Node, tmp_path: Path
) -> None:
    bad = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["no_such_call"], "action": "SCMP_ACT_ALLOW"}]})  # fmt: skip
    result = applied.ctl("profile", "lint", "-", stdin=bad)
    assert result.exit_code == 1
    assert "libseccomp does not know no_such_call" in result.stdout
    machine("x86_64")
    path = tmp_path / "range.json"
    path.write_text(_wide_ranges())
    result = applied.ctl("profile", "lint", str(path), "--json")
    found = {one["check"]: one for one in json.loads(result.stdout)}
    assert "mmap(0x0, 0x3, " in found["compiled-wrongly"]["sentence"]
    assert "SCMP_CMP_MASKED_EQ" in found["compiled-wrongly"]["remedy"]
    assert found["compiled-wrongly"]["severity"] == "warning"  # `apply` writes masks
    assert "upper-bits" not in found  # `apply` compares only the bits that the kernel uses
    applied.configure('[default]\nint_arguments = "engine"\n')
    assert "(socket; as in CVE" in applied.ctl("profile", "lint", "moby").stdout
    assert "(socket; as in" not in applied.ctl("profile", "lint", "-", stdin=bad).stdout
    assert "io_submit\n" in applied.ctl("profile", "groups", "@aio").stdout
    assert "no group is called '@ai' (did you mean @aio?)" in applied.failure(
        "profile", "groups", "@ai"
    )


RECORD = (
    "type=SECCOMP msg=audit(1700000000.123:7): auid=0 uid=0 gid=0 ses=1 pid=9 "
    'comm="x" exe="/x" sig=0 arch=c000003e syscall=165 compat=0 ip=0x1 code=0x7ffc0000\n'
)


@pytest.mark.parametrize(
    ("calls", "rows"),
    [
        ("getpid() = 1\nmount(0, 0) = 0\nmount(0, 0) = 0\n", [("mount", "denied", 2, "line 2")]),
        ("socket(AF_INET, 1, 0) = 3\n", [("socket", "depends", 1, "line 1")]),
        ("[  41] socket(0x2, 1, 0) = 3\n", []),
        ("[  41] socket(0x100000028, 1, 0) = 3\n", [("socket", "denied", 1, "line 1")]),
        ("[  56] clone(child_stack=NULL, flags=0x1200000|17) = 5\n", []),
        ("[  56] clone(child_stack=NULL, flags=0x10000000|17) = 5\n",
         [("clone", "denied", 1, "line 1")]),
        ("[ 435] clone3({flags=0x10000000, exit_signal=17}, 88) = 5\n",
         [("clone3", "denied", 1, "line 1")]),
        (RECORD, [("mount", "denied", 1, "line 1")]),
        (f"{'x' * 65536}mount(0) = 0\numount2(0, 0) = 0\n", [("umount2", "denied", 1, "line 2")]),
    ],
)  # fmt: skip
def test_simulate_says_what_is_denied_and_where_first(
    applied: Node, tmp_path: Path, calls: str, rows: list[tuple[str, str, int, str]]
) -> None:
    path = tmp_path / "calls"
    path.write_text(calls)
    result = applied.ctl("profile", "simulate", "containerd@2.3.1", str(path), "--json")
    assert result.exit_code == int(bool(rows)), result.output
    found = json.loads(result.stdout)
    assert [(o["syscall"], o["verdict"], o["count"], o["first"]) for o in found] == rows


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("[ 165] mount(0, 0) = 0", 1),
        ("[ 435] clone3({flags=0x3d0f00, exit_signal=0}, 88) = 9", 0),
        ("[ 435] clone3({flags=0x200000000, exit_signal=17, cgroup=5}, 88) = 9", 1),
        ("[ 435] clone3({flags=0, set_tid=[7], set_tid_size=1}, 88) = 9", 1),
        ("[ 435] clone3(0x1, 88) = 9", 1),
    ],
)
def test_a_call_that_gets_enosys_is_denied_unless_c_libraries_make_another(
    applied: Node, tmp_path: Path, call: str, code: int
) -> None:
    path = tmp_path / "calls"
    path.write_text(f"[  39] getpid() = 1\n{call}\n")
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ALLOW"}],
    }
    result = applied.ctl("profile", "simulate", "-", str(path), "--json", stdin=json.dumps(profile))
    assert [one["verdict"] for one in json.loads(result.stdout)] == ["degrades"]
    assert result.exit_code == code


@pytest.mark.parametrize(
    "line",
    [
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
    ],
)
def test_a_line_that_may_record_a_call_and_cannot_be_read_is_named(
    applied: Node, tmp_path: Path, line: str
) -> None:
    path = tmp_path / "calls"
    others = (
        "[  39] getpid() = 1\nprintf(hello)\n7 <... read resumed>) = 1\n+++ exited with 0 +++\n"
    )
    path.write_text(others)
    assert applied.ctl("profile", "simulate", "moby", str(path)).exit_code == 0
    path.write_text(others + line)
    result = applied.ctl("profile", "simulate", "moby", str(path))
    assert "Not judged: 1 line that may record a call" in result.stderr
    assert "the first is line 5" in result.stderr
    assert result.exit_code == 1


def test_numbers_that_a_program_tries_count_together_and_named_calls_do_not(
    applied: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_simulation, "_MOST_ROWS", 2)
    path = tmp_path / "calls"
    numbers = [f"syscall_{number:#x}(0) = 0\n" for number in (5000, 5001, 5002, 5003, -1 % 2**64)]
    path.write_text("".join([*numbers, "mount(0, 0) = 0\n"]))
    result = applied.ctl("profile", "simulate", "moby", str(path), "--json")
    assert [(one["syscall"], one["count"]) for one in json.loads(result.stdout)] == [
        ("mount", 1), ("#5000", 1), ("#5001", 1), ("other numbers", 3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "abi", "first"),
    [
        ("7 [  83] mkdir(0x1, 0777) = 0\n7 [  39] mkdir(0x1, 0777) = 0\n", "x86", "line 2"),
        ("7 [ 102] socket(0x1, 0x1, 0) = 3\n", "x86", "line 1"),
        ("7 [ 439] faccessat2(-1) = 0\n7 [  83] mkdir(0x1) = 0\n7 [ 439] faccessat2(-1) = 0\n",
         "x86_64 or x86", "line 1"),
    ],
)  # fmt: skip
def test_a_traced_call_has_the_abi_of_its_number(
    applied: Node, tmp_path: Path, lines: str, abi: str, first: str
) -> None:
    machine("x86_64")
    path = tmp_path / "calls"
    path.write_text(lines)
    native = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]}
    result = applied.ctl("profile", "simulate", "-", str(path), "--json", stdin=json.dumps(native))
    (found,) = json.loads(result.stdout)
    assert (found["abi"], found["first"], found["count"]) == (abi, first, 1)


@pytest.mark.parametrize(("profile", "denied"), [("moby@29.4.2", True), ("moby@29.4.3", False)])
def test_a_call_through_a_multiplexer_is_judged_as_that_call(
    applied: Node, tmp_path: Path, profile: str, denied: bool
) -> None:
    machine("x86_64")
    path = tmp_path / "calls"
    path.write_text("7 [ 102] socket(0x1, 0x1, 0) = 3\n")
    found = json.loads(applied.ctl("profile", "simulate", profile, str(path), "--json").stdout)
    assert [one["syscall"] for one in found] == ["socketcall"] * denied


@pytest.mark.parametrize(("setting", "verdict"), [("kernel", "denied"), ("engine", "depends")])
@pytest.mark.parametrize("value", ["-77777", "0xfffed02f"])
def test_a_negative_argument_is_judged_with_and_without_its_sign(
    applied: Node, tmp_path: Path, setting: str, verdict: str, value: str
) -> None:
    applied.configure(f'[default]\nint_arguments = "{setting}"\n')
    path = tmp_path / "calls"
    path.write_text(f"7 [  62] kill({value}, 0) = 0\n")
    pid = {"index": 0, "op": "SCMP_CMP_EQ", "value": 0xFFFED02F}
    rule = {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [pid]}
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    result = applied.ctl("profile", "simulate", "-", str(path), "--json", stdin=json.dumps(profile))
    (found,) = json.loads(result.stdout)
    assert found["verdict"] == verdict


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        ('[default]\nabis = "native"\n', "7 [  39] mkdir(0x1) = 0"),
        ('[overlay]\ndeny = ["splice"]\n', "7 [ 275] splice(0) = 0"),
    ],
)
def test_a_profile_is_judged_and_shown_as_the_policy_enforces_it(
    applied: Node, tmp_path: Path, policy: str, line: str
) -> None:
    machine("x86_64")
    path = tmp_path / "calls"
    path.write_text(line)
    words = ("profile", "simulate", "moby", str(path))
    assert applied.ctl(*words).exit_code == 0
    before = applied.ctl("profile", "show", "moby").stdout
    applied.configure(policy)
    assert applied.ctl(*words).exit_code == 1
    assert applied.ctl("profile", "show", "moby").stdout != before


@pytest.mark.parametrize(
    ("abi", "line", "said"),
    [
        ("X86", "7 mkdir", True),
        ("X32", "7 mkdir", True),
        ("X86", "7 [  83] mkdir", False),
        ("X86_64", "7 mkdir", True),
    ],
)
def test_a_trace_that_cannot_tell_32_bit_programs_says_so(
    applied: Node, tmp_path: Path, abi: str, line: str, said: bool
) -> None:
    machine("x86_64")
    path = tmp_path / "calls"
    path.write_text(f"{line}(0x1, 0777) = 0\n")
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [f"SCMP_ARCH_{abi}"]}
    result = applied.ctl("profile", "simulate", "-", str(path), stdin=json.dumps(profile))
    assert ("calls of 32-bit and x32 programs count as 64-bit ones" in result.stderr) is said
    assert result.exit_code == said


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("[ 511] frob(1) = 0", "#511"),
        ("syscall_0x1ff(1) = 0", "#511"),
        ("[???] syscall_0xffffffffffffffff(1) = -1 ENOSYS", "#-1"),
    ],
)
def test_a_traced_call_that_has_no_name_here_is_judged_by_its_number(
    applied: Node, tmp_path: Path, line: str, name: str
) -> None:
    path = tmp_path / "calls"
    path.write_text(f"getpid() = 1\n{line}\n")
    killing = {
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ALLOW"}],
    }
    result = applied.ctl("profile", "simulate", "-", str(path), "--json", stdin=json.dumps(killing))
    (found,) = json.loads(result.stdout)
    assert (found["syscall"], found["first"]) == (name, "line 2")


@pytest.mark.parametrize("calls", ["", "hello\n", RECORD.replace("SECCOMP", "SYSCALL")])
def test_what_shows_no_call_has_no_verdict(applied: Node, tmp_path: Path, calls: str) -> None:
    path = tmp_path / "calls"
    path.write_text(calls)
    assert "no call could be read" in applied.failure("profile", "simulate", "moby", str(path))


def test_a_file_may_have_a_blank_in_its_name_and_an_engine_is_known(
    applied: Node, tmp_path: Path
) -> None:
    path = tmp_path / "my file.json"
    path.write_text(_socket("NE", 38))
    assert applied.ctl("profile", "diff", str(path), str(path)).exit_code == 0
    assert "'--engine': 'cri-o' is not one of" in applied.failure(
        "profile", "diff", "moby", "moby", "--engine", "cri-o"
    )


def test_a_file_that_cannot_be_written_is_noticed_before_the_command_runs(
    applied: Node, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    for file, said in (("none/p.json", "the command was not run"), (".", "is a directory")):
        words = ("-o", str(tmp_path / file), "--", "touch", str(done))
        assert said in applied.failure("profile", "record", *words)
        assert not done.exists()
