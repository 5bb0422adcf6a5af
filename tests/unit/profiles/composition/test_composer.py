"""Composed profiles: their text, their files, and which part answers for a call."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runc_wrap.filters import profile_difference
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.profiles import builtin
from runc_wrap.profiles.composition import composed_file, composer, expression, systemd_sets
from runc_wrap.profiles.composition.expression import Composition, Term
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.lint_finding import may
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import ProfileError

Json = dict[str, Any]
AT = {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}


def _load(name: str) -> composer.Composed:
    return composer.Composed(builtin.load(name), name)


def _of_text(text: str) -> composer.Composed:
    return composer.made(text, expression.parse(text), _load)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("containerd", ()),
        ("containerd + @aio", (Term("+", "@aio"),)),
        ("containerd  -  keyctl +  moby", (Term("-", "keyctl"), Term("+", "moby"))),
        ("containers-common-x + a-b/c+d.json", (Term("+", "a-b/c+d.json"),)),
    ],
)
def test_signs_have_blanks_on_both_sides(text: str, terms: tuple[Term, ...]) -> None:
    assert expression.parse(text) == Composition(text.split(maxsplit=1)[0], terms)
    assert expression.is_composed(text) == bool(terms)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("containerd + ", "'containerd \\+' is no operand"),
        (" + @aio", "'' is no operand|is no operand"),
        ("containerd + a b", "'a b' is no operand"),
        ("containerd" + " + read" * 65, "it has 65 terms, 64 at most"),
        ("containerd + @nothing", "no group is called '@nothing'"),
        ("containerd - moby@29.0.0", "a profile can only be added"),
        ("containerd - keyclt", "libseccomp knows no call 'keyclt' \\(did you mean keyctl"),
        ("containerd + none@1", "no built-in profile is called 'none'"),
    ],
)
def test_what_is_no_composition_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ProfileError, match=why):
        _of_text(text)


def test_each_part_answers_for_its_calls() -> None:
    made = _of_text("containerd + @aio - io_submit + moby - mount")
    assert made.answers("io_getevents") == ["+ moby"]
    assert made.answers("io_uring_setup") == ["+ @aio"]  # Docker's default lacks it
    assert made.answers("mount") == ["- mount"]
    assert made.answers("acct") == ["containerd", "+ moby"]  # under a capability only
    assert made.profile.name == "containerd + @aio - io_submit + moby - mount"


def test_terms_apply_from_left_to_right() -> None:
    made = _of_text("containerd - keyctl - read + read")
    assert made.answers("read") == ["+ read"]
    allowed = {name for rule in made.profile.rules for name in rule.names}
    assert "read" in allowed
    assert "keyctl" not in allowed


def test_a_sum_with_a_profile_adds_what_that_one_allows_only() -> None:
    made = _of_text("containerd - clone3 + moby")
    assert not may(made.profile, "clone3")  # which Docker's denies by a rule of its own
    assert not may(_of_text("containerd - statx + moby - statx").profile, "statx")
    assert may(_of_text("containerd - statx + moby").profile, "statx")


def _rule(name: str, action: str, *equal: int) -> Json:
    args = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in equal]
    return {"names": [name], "action": f"SCMP_ACT_{action}", "args": args}


SYS_ADMIN = {"caps": ["CAP_SYS_ADMIN"]}
MOUNT = _rule("mount", "ALLOW")


@pytest.mark.parametrize(
    ("default", "rules", "why"),
    [
        ("ERRNO", [_rule("mount", "KILL", 1), MOUNT], "for mount .* no profile can say both"),
        ("ERRNO", [_rule("mount", "KILL"), _rule("mount", "ALLOW", 1)], "no profile can say both"),
        # comparisons of one argument are joined by OR
        ("ERRNO", [_rule("mount", "KILL", 1, 2), _rule("mount", "ALLOW", 2)], "can say both"),
        ("ERRNO", [_rule("mount", "LOG")], "lets through or logs"),
        ("LOG", [MOUNT], "lets through or logs"),
        ("ERRNO", [_rule("mount", "KILL", 1), _rule("mount", "ALLOW", 2)], None),
        ("ERRNO", [{**MOUNT, "includes": SYS_ADMIN},
                   {**_rule("mount", "KILL"), "excludes": SYS_ADMIN}], None),
    ],
)  # fmt: skip
def test_a_profile_is_added_only_if_what_it_allows_is_in_its_allow_rules_alone(
    default: str, rules: list[Json], why: str | None
) -> None:
    """A denial or a record that is not in the sum would leave it weaker than its parts."""
    data = json.dumps({"defaultAction": f"SCMP_ACT_{default}", "syscalls": rules}).encode()
    more = composer.Composed(profile_parser.parse(data, "x.json"), "x.json")
    what = expression.parse("moby - mount + x.json")
    context = pytest.raises(ProfileError, match=why) if why else nullcontext()
    with context:
        composer.made("sum", what, lambda name: more if name == "x.json" else _load(name))


OPERANDS = st.sampled_from(
    ("@aio", "@keyring", "@mount", "@swap", "@network-io", "clone3", "ptrace", "moby", "containerd")
)


@given(st.sampled_from(("containerd", "moby", "containers-common")), OPERANDS, OPERANDS)
@settings(deadline=None, max_examples=15)
def test_sums_of_real_profiles_commute_and_a_second_time_changes_nothing(
    base: str, one: str, other: str
) -> None:
    """Where linux.seccomp can say it; arguments beside a denial of the same call it cannot."""
    try:
        both = _of_text(f"{base} + {one} + {other}")
        texts = (f"{base} + {other} + {one}", f"{base} + {one} + {other} + {one}")
        for text in texts:
            made = [
                compile_profile(each.profile, arch="amd64", kernel=(6, 12))
                for each in (both, _of_text(text))
            ]
            assert profile_difference.find(made[0], made[1], Loader("crun")) == [], text
    except ProfileError as error:
        assert "no profile can say both" in str(error) or "too many" in str(error)  # noqa: PT017


def _file(**keys: Any) -> bytes:
    return json.dumps({"base": "containerd", **keys}).encode()


def test_a_file_adds_first_and_then_removes() -> None:
    data = _file(
        remove=[{"names": ["keyctl"]}],
        add=[{"names": ["@keyring"], "includes": {"caps": ["CAP_SYS_ADMIN"]}, "comment": "why"}],
    )
    made = composer.made("x.json", composed_file.parse(data, "x.json"), _load)
    assert [part.text for part in made.parts] == ["x.json: add[0]", "x.json: remove[0]"]
    assert made.answers("keyctl") == ["x.json: remove[0]"]
    assert made.answers("add_key") == ["containerd", "x.json: add[0]"]
    assert made.parts[0].rule.names == systemd_sets.calls("@keyring")


def test_each_part_of_a_composed_base_answers_for_itself() -> None:
    data = json.dumps({"base": "x", "remove": [{"names": ["io_setup"]}]}).encode()
    base = _of_text("containerd + @aio - keyctl")
    made = composer.made("y.json", composed_file.parse(data, "y.json"), lambda _: base)
    assert made.answers("io_setup") == ["y.json: remove[0]"]
    assert made.answers("io_submit") == ["+ @aio"]
    assert made.answers("keyctl") == ["- keyctl"]
    assert made.answers("read") == ["containerd"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"base": ""}', "base: missing"),
        (_file(ad=[]), "ad: the key is not known; did you mean 'add'"),
        (_file(add=[{"names": []}]), r"add\[0\].names: names no call"),
        (_file(add=[{"names": ["Read!"]}]), "neither a call like openat nor a group"),
        (_file(remove=[{"names": ["read"], "args": [AT]}]), "a removal is of the whole call"),
        (_file(add=[{"names": ["read"], "action": "SCMP_ACT_KILL"}]), "action: the key is not"),
    ],
)
def test_what_a_file_cannot_say_is_refused_with_its_place(data: bytes, why: str) -> None:
    with pytest.raises(ProfileError, match=why):
        composed_file.parse(data, "x.json")


def test_groups_are_systemds_expanded() -> None:
    assert systemd_sets.SOURCE == "systemd 257.13"
    assert {"@aio", "@system-service", "@privileged"} <= {*systemd_sets.names()}
    assert {*systemd_sets.calls("@chown")} < {*systemd_sets.calls("@privileged")}
    every = [call for name in systemd_sets.names() for call in systemd_sets.calls(name)]
    assert not [call for call in every if "@" in call]
