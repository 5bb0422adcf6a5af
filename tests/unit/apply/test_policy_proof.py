"""What libseccomp compiles wrongly is written with masks, or refused; what is proved is kept."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.node.requirements import machine
from runc_wrap.apply import policy_proof
from runc_wrap.filters import libseccomp_proof, profile_difference
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.hotpath import json_codec
from runc_wrap.node import runtime_loader
from runc_wrap.policy.compiler_facts import Facts
from runc_wrap.profiles.arguments import argument_sets
from tests.unit.cli import ctl
from tests.unit.cli.ctl import Node
from tests.unit.hotpath import profile_verdict


@pytest.fixture(autouse=True, scope="module")
def _x86_64() -> None:
    machine("x86_64")


CRUN = Loader("crun")
OPS = ("LT", "LE", "GT", "GE", "NE", "EQ")
VALUES = (3, 40, (1 << 32) + 3, 1 << 33, (1 << 64) - 1)
rules = st.lists(
    st.tuples(st.sampled_from(OPS), st.sampled_from(VALUES), st.integers(1, 2)),
    min_size=2, max_size=3, unique=True,
)  # fmt: skip


def _entry(*comparisons: tuple[str, int, int]) -> dict[str, Any]:
    args = [{"index": at, "value": value, "op": f"SCMP_CMP_{op}"} for op, value, at in comparisons]
    return {"rule": {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": args}}


def _block(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [one["rule"] for one in entries],
    }


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return ctl.node(tmp_path, monkeypatch)


def test_one_that_shows_only_at_the_halves_of_two_of_many_values_is_found() -> None:
    equal = [_entry(("EQ", (5 * at + 1 << 32) + 7 * at, 1)) for at in range(1, 18)]
    entries = [*equal, _entry(("LT", (200 << 32) + 3, 1)), _entry(("LT", 300 << 32, 1))]
    (found,) = libseccomp_proof.wrong(json_codec.dumps(_block(entries)), CRUN, {})
    assert found.args[1] == (200 << 32) + 300


def test_one_that_shows_only_for_one_combination_is_found_and_too_many_are_refused() -> None:
    top = (1 << 64) - 1
    first = _entry(("NE", 7 << 40, 2), ("GE", 3, 1), ("GE", 1, 0))
    both = [first, _entry(("EQ", top, 1), ("GE", 0xFFFFFFFF, 0))]
    (found,) = libseccomp_proof.wrong(json_codec.dumps(_block(both)), CRUN, {})
    assert found.args[:3] == (1, top, 7 << 40)
    ranges = [_entry(("LE", 1, 3)), _entry(("LT", (1 << 32) + 1, 3))]
    for count, said in ((50, "where the rules say"), (400, "too many values to be proved")):
        many = [_entry(("EQ", (5 * at + 3 << 32) + 1000 + 7 * at, 1)) for at in range(count)]
        text = json_codec.dumps(_block([*many, *ranges]))
        assert said in str(libseccomp_proof.wrong(text, CRUN, {})[0])


@given(rules)
@settings(deadline=None, max_examples=40)
def test_with_masks_they_mean_what_they_say(comparisons: list[tuple[str, int, int]]) -> None:
    written: list[Any] = [_entry(one) for one in comparisons]
    made = argument_sets.masked(written, {"ioctl"})
    assert libseccomp_proof.wrong(json_codec.dumps(_block(made)), CRUN, {}) == []  # type: ignore[arg-type]
    assert _meaning(_block(written)) == _meaning(_block(made))  # type: ignore[arg-type]


def _meaning(block: dict[str, Any]) -> list[bool]:
    """Return for every pair of interesting values whether some rule holds, by Python alone."""
    near = sorted({max(v + d, 0) & ((1 << 64) - 1) for v in VALUES for d in (-1, 0, 1)} | {0})
    return [
        any(profile_verdict.matches(rule, "ioctl", {1: a, 2: b}) for rule in block["syscalls"])
        for a in near
        for b in near
    ]


def _ranges(*values: int, op: str = "LT", **conditions: Any) -> bytes:
    some = [{"index": 1, "value": value, "op": f"SCMP_CMP_{op}"} for value in values]
    allow = {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", **conditions}
    calls: list[dict[str, Any]] = [{**allow, "args": [one]} for one in some]
    calls.append({"names": ["execve", "exit_group"], "action": "SCMP_ACT_ALLOW"})
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": calls}).encode()


def test_apply_writes_masks_and_proves_once(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.configure("", range=_ranges(3, 1 << 33))
    result = node.ctl("apply")
    assert "rules for ioctl to something else than they say; equal ones are used" in result.output
    directory = next(node.places.prefix.glob("var/policy.2/*/profiles"))
    (path,) = directory.glob("localhost%2Frange.json*")
    compiled = json.loads(path.read_text())
    assert {a["op"] for one in compiled["rules"] for a in one["rule"].get("args", ())} == {
        "SCMP_CMP_EQ",  # a block of one number
        "SCMP_CMP_MASKED_EQ",
    }
    next(node.places.prefix.glob("etc/profiles/range.json")).unlink()
    node.ctl("apply")
    node.configure("", range=_ranges(3, 1 << 33))
    policy_proof._CALLS.clear()  # noqa: SLF001 - as another process
    monkeypatch.setattr(libseccomp_proof, "wrong", lambda *_: pytest.fail("proved twice"))
    monkeypatch.setattr(profile_difference, "weaker", lambda *_: pytest.fail("compared twice"))
    assert "equal ones are used" in node.ctl("apply").output


def test_what_was_proved_is_asked_again_of_another_text_or_by_another_libseccomp(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.places.current.parent.mkdir(parents=True)
    asked: list[bytes] = []

    def found(text: bytes) -> list[str]:
        asked.append(text)
        return []

    def ask(text: bytes) -> None:
        prover = policy_proof.Prover(node.places, Facts("", "crun", "1.21", "amd64", (6, 12)))
        prover.remembered(list[str], text, partial(found, text))
        prover.remember()

    for text in (b"a", b"a", b"b", b"a"):
        ask(text)
    monkeypatch.setattr(libseccomp_version, "loaded", lambda: ("2.5.1", ""))
    ask(b"a")
    assert asked == [b"a", b"b", b"a"]


def test_masks_that_are_compiled_rightly_and_mean_something_else_are_refused(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argument_sets, "masked", lambda made, _: [*made, {"rule": ALL}])
    node.configure("", range=_ranges(3, 1 << 33))
    assert "compiles its rules for ioctl to something" in node.failure("apply")


def test_that_the_runtime_has_another_libseccomp_is_noted_where_the_owner_wrote_rules(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_loader, "libseccomp", lambda _: "2.5.1")
    note = "has libseccomp 2.5.1, and this program"
    node.configure("")
    assert note not in node.ctl("apply").output
    node.configure('[default]\nprofile = "runtime-default - mbind"\n')
    assert note in node.ctl("apply").output


def test_rules_that_only_some_capabilities_bring_are_proved(node: Node) -> None:
    bpf, admin = {"caps": ["CAP_BPF"]}, {"caps": ["CAP_SYS_ADMIN"]}
    node.configure("", range=_ranges(3, 1 << 33, includes=bpf, excludes=admin))
    assert "compiles its rules for ioctl to something else" in node.ctl("apply").output


BIG, ALL = (1 << 32) + 8, {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW"}


HALVES = [
    ("EQ", BIG, [], ["x86"]),
    ("LT", BIG, [], ["x86"]),
    ("MASKED_EQ", 3 << 32, [], ["x86"]),
    ("EQ", BIG, [ALL], []),  # redundant
    ("EQ", -8 % (1 << 64), [], []),  # negative there, too
    ("LE", (1 << 40) - 1, [], []),  # as true of half of it
    ("EQ", 8, [], []),
]


@pytest.mark.parametrize(("op", "value", "others", "wrong"), HALVES)
def test_a_value_of_which_a_32_bit_abi_sees_half_is_found_if_that_matters(
    op: str, value: int, others: list[dict[str, Any]], wrong: list[str]
) -> None:
    one = {"index": 1, "value": value, "valueTwo": 1 << 32, "op": f"SCMP_CMP_{op}"}
    block = {**_block([]), "architectures": ["SCMP_ARCH_X86"]}
    text = json_codec.dumps(block | {"syscalls": [{**ALL, "args": [one]}, *others]})
    assert [found.abi for found in libseccomp_proof.wrong(text, CRUN, {})] == wrong


KILLED: dict[str, Any] = {"names": ["acct"], "action": "SCMP_ACT_KILL"}
ALLOWING = {"defaultAction": "SCMP_ACT_ALLOW"}


def _acct(action: str, value: int, op: str = "EQ", index: int = 1, **more: Any) -> dict[str, Any]:
    one = {"index": index, "value": value, "valueTwo": value, "op": f"SCMP_CMP_{op}"}
    return {"names": ["acct"], "action": f"SCMP_ACT_{action}", "args": [one], **more}


OVERLAPS = [
    ([_acct("ERRNO", 5), _acct("LOG", 7, index=2)], "error", "LOG, where another rule says SCMP_A"),
    ([_acct("LOG", 7, index=2), _acct("ERRNO", 5)], "error", "LOG, where another rule says SCMP_A"),
    ([_acct("LOG", 4, "MASKED_EQ"), _acct("KILL", 3, "MASKED_EQ")], "error", "says SCMP_ACT_KILL"),
    ([_acct("LOG", 2**64 - 1, "MASKED_EQ"), _acct("KILL", 2**64 - 1)], "error", "SCMP_ACT_KILL"),
    # with masks, which `apply` writes, the stricter one holds
    ([_acct("ERRNO", 9, "LT"), _acct("LOG", 7)], "warning", "acct(0x0, 0x7, 0x0, "),
    ([_acct("ERRNO", 9, "LT", errnoRet=13), _acct("ERRNO", 7)], "warning", "SCMP_ACT_ERRNO(EA"),
    ([_acct("LOG", 9, "LT"), _acct("ERRNO", 7)], None, ""),  # the stricter one holds
    ([_acct("ERRNO", 5), _acct("LOG", 5, "NE")], None, ""),
    ([_acct("ERRNO", 5), _acct("ERRNO", 7, index=2)], None, ""),
]


@pytest.mark.parametrize(("rules", "severity", "said"), OVERLAPS)
def test_where_rules_of_several_actions_hold_a_laxer_one_is_refused_and_lint_names_both(
    node: Node, rules: list[dict[str, Any]], severity: str | None, said: str
) -> None:
    """Whatever their order: libseccomp has its own."""
    node.configure("", o=json.dumps({**ALLOWING, "syscalls": rules}).encode())
    found = json.loads(node.ctl("profile", "lint", "localhost/o.json", "--json").stdout)
    overlaps = [one for one in found if one["check"] == "overlapping-rules"]
    assert [one["severity"] for one in overlaps] == ([severity] if severity else [])
    assert all(said in one["sentence"] for one in overlaps)
    said_by_apply = node.ctl("apply", status=2 if severity == "error" else 0).output
    is_other_error = "(EA" in said  # which apply tolerates
    blames = "profile localhost/o.json: its rules for acct have other actions" in said_by_apply
    assert blames == (severity is not None and not is_other_error)
    assert "libseccomp" not in said_by_apply


BOTH = [_acct("ERRNO", 5), _acct("LOG", 7, index=2)]
REFUSED = [_acct("ERRNO", 5, errnoRet=errno) for errno in (13, 38)]
AUDITED, RULE = '[default]\nmode = "audit"\n', '[[rule]]\nname = "a"\npod = ["a"]\nprofile = '
UNASKED = f"[opt_out]\nannotations = false\n{AUDITED}"
USES = [
    (AUDITED, BOTH, 0),
    (AUDITED, REFUSED, 0),
    (f'{UNASKED}{RULE}"localhost/o.json"\n', BOTH, 0),
    (f'{UNASKED}{RULE}"localhost/o.json"\nmode = "enforce"\n', BOTH, 2),
    (f'{UNASKED}{RULE}"moby"\nmode = "enforce"\n', BOTH, 0),
    (f'{UNASKED}{RULE}"moby"\nmode = "enforce"\ncandidate = "localhost/o.json"\n', BOTH, 2),
    (f'{AUDITED}{RULE}"moby"\nmode = "enforce"\n', BOTH, 2),  # an annotation may ask for it
]


@pytest.mark.parametrize(("policy", "rules", "status"), USES)
def test_rules_that_contradict_each_other_are_refused_only_where_a_container_may_get_them_enforced(
    node: Node, policy: str, rules: list[dict[str, Any]], status: int
) -> None:
    node.configure(policy, o=json.dumps({**ALLOWING, "syscalls": rules}).encode())
    result = node.ctl("apply", status=status)
    assert status or "form for enforce enforces nothing here, but verdicts and" in result.output


THREE = {"architectures": [f"SCMP_ARCH_{one}" for one in ("X86_64", "X86", "X32")], **ALLOWING}
ALONE = '[default]\nprofile = "localhost/o.json"\n'
MANY = [f"CAP_{one}" for one in "BPF CHOWN KILL SYSLOG SYS_BOOT SYS_TIME".split()]
FORGOTTEN = [
    (ALONE, MANY[:1], 2, "its rules for ioctl to something else than they say"),
    (ALONE, MANY, 2, "or those of all do; name a call of each ABI in a rule without arguments"),
    (AUDITED, MANY, 0, "the form for enforce enforces nothing here"),
]


@pytest.mark.parametrize(("policy", "held", "status", "said"), FORGOTTEN)
def test_rules_that_an_abi_loses_for_lack_of_one_without_arguments_are_refused(
    node: Node, policy: str, held: list[str], status: int, said: str
) -> None:
    """In a container with SYS_ADMIN and none of the others."""
    two = [*_acct("ERRNO", 21522)["args"], *_acct("ERRNO", 0, index=2)["args"]]
    rules = [
        _acct("ERRNO", 5, names=["mmap2"]),
        {**_acct("ERRNO", 5, names=["ioctl"]), "args": two},
        {**KILLED, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        *({**KILLED, "names": ["swapon"], "includes": {"caps": [one]}} for one in held),
    ]
    for more, code, text in (((), status, said), (({**KILLED, "names": ["swapoff"]},), 0, "")):
        node.configure(policy, o=json.dumps({**THREE, "syscalls": [*rules, *more]}).encode())
        assert text in node.ctl("apply", status=code).output


def test_a_denial_that_says_what_the_default_does_counts_though_runtimes_drop_it() -> None:
    block = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [_acct("ERRNO", 5)]}
    assert not libseccomp_proof.wrong(json_codec.dumps(block), CRUN, {})
    block["syscalls"] += [_acct("ALLOW", 7, index=2)]  # type: ignore[operator]
    (found,) = libseccomp_proof.wrong(json_codec.dumps(block), CRUN, {})
    assert str(found).startswith("acct(0x0, 0x5, 0x7, ")


def test_what_audit_logs_is_proved_and_where_masks_cannot_say_it_a_warning_says_so(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: Any = policy_proof.Prover._wrong  # noqa: SLF001

    def only_in_audit(prover: Any, *made: Any) -> list[str]:
        logs = made[0]["block"]["defaultAction"] == "SCMP_ACT_LOG"
        return wrong(prover, *made) if logs else []

    node.configure('[default]\nmode = "audit"\n', range=_ranges(1 << 33, op="GE"))
    monkeypatch.setattr(policy_proof.Prover, "_wrong", only_in_audit)  # which has 32-bit ABIs
    assert "form for audit enforces nothing here, but verdicts and rec" in node.ctl("apply").output


def test_masks_of_upper_halves_which_32_bit_abis_do_not_compare_are_refused(node: Node) -> None:
    listed = {"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]}
    both = json.loads(_ranges(1 << 33, op="GE")) | listed
    held = [{"caps": [name]} for name in ("CAP_BPF", "CAP_SYSLOG")]
    acct = {"names": ["acct"], "action": "SCMP_ACT_ALLOW"}
    both["syscalls"] += [{**acct, "includes": one} for one in held]
    node.configure("", range=json.dumps(both).encode())
    assert "compiles its rules for ioctl to something else" in node.failure("apply")
    found = node.ctl("profile", "lint", "localhost/range.json", "--json").stdout
    wrong = [one for one in json.loads(found) if one["check"] == "compiled-wrongly"]
    assert {one["severity"] for one in wrong} == {"error"}, "a warning, and apply refuses it"
    assert len({one["sentence"] for one in wrong}) == len(wrong), "one for each set"


def test_a_wrong_call_that_no_rule_names_is_refused(node: Node) -> None:
    """recv is socketcall on x86, where libseccomp lets through what the rules deny."""
    whole = json.loads(_ranges())
    for op, value, index in (("GE", 1, 1), ("LT", 2, 1)):
        one = {"index": index, "value": value, "op": f"SCMP_CMP_{op}"}
        more = [{"index": 2, "value": 9, "op": "SCMP_CMP_LT"}] if op == "LT" else []
        rule = {"names": ["recv"], "action": "SCMP_ACT_ALLOW", "args": [one, *more]}
        whole["syscalls"].append(rule)
    whole["architectures"] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    node.configure("", range=json.dumps(whole).encode())
    assert "compiles its rules for socketcall to something else" in node.failure("apply")


def test_a_profile_that_no_runtime_can_load_is_refused(node: Node) -> None:
    node.configure("", both=json.dumps({**ALLOWING, "syscalls": REFUSED}).encode())
    said = "localhost/both.json: libseccomp refuses the profile at a rule of acct"
    assert said in node.failure("apply")
