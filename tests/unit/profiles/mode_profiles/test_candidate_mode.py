"""A candidate beside a profile: the profile's denials stay, what it denies more is logged."""

from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from harness.node.requirements import machine
from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin, return_codes
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.mode_profiles import modes
from runc_wrap.profiles.mode_profiles.candidate_mode import previewed
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.profiles.syscall_names import numbers
from tests.unit.profiles.resolving import OPS, compare

Json = dict[str, Any]
CALLS = ["mount", "bpf", "keyctl", "io_uring_setup", "read"]  # read is needed by runtimes
ERRNO, ALLOW, LOG = "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"
CAPS = ["CAP_SYS_ADMIN", "CAP_BPF"]
VALUES = [0, 1, 2, 5, 39, 40, 0x7E020000, (1 << 32) + 5, (1 << 64) - 1]
BOTH = {return_codes.ALLOW, return_codes.LOG}

_values = st.sampled_from(VALUES)
_arguments = st.builds(compare, st.sampled_from(OPS), _values, _values, st.integers(0, 1))
_args = st.lists(_arguments, max_size=2, unique_by=lambda one: one["index"])


@st.composite
def _entries(draw: st.DrawFn) -> Json:
    rule: Json = {
        "names": draw(st.lists(st.sampled_from(CALLS), min_size=1, max_size=3, unique=True)),
        "action": draw(st.sampled_from([ALLOW, ALLOW, ALLOW, ERRNO, LOG])),
    }
    if rule["action"] == ERRNO:
        rule["errnoRet"] = draw(st.sampled_from([1, 38, 95]))
    if args := draw(_args):
        rule["args"] = args
    entry: Json = {"rule": rule}
    for key in ("all", "none"):
        if caps := draw(st.lists(st.sampled_from(CAPS), max_size=1)):
            entry[key] = caps
    return entry


def _made(entries: list[Json], default: str, *abis: str) -> Json:
    block = {"defaultAction": default} | ({"architectures": [*abis]} if abis else {})
    return {"name": "p", "version": None, "rules": entries, "block": block}


_defaults = st.sampled_from([ERRNO, ERRNO, ERRNO, ALLOW])
drawn = st.builds(_made, st.lists(_entries(), max_size=5), _defaults, st.just("SCMP_ARCH_X86_64"))


def profile(*rules: Json, default: str = ERRNO) -> Json:
    return _made([{"rule": one} for one in rules], default)


def rule(name: str, action: str = ALLOW, *args: tuple[int, str, int, int]) -> Json:
    found = [compare(op, value, two, index) for index, op, value, two in args]
    return {"names": [name], "action": action, **({"args": found} if found else {})}


FIVE, NO_KEYCTL = rule("keyctl", ERRNO, (0, "EQ", 5, 0)), rule("keyctl", ERRNO)
ANY = rule("keyctl", ALLOW, (0, "MASKED_EQ", 0, 0))
WITH_0 = rule("keyctl", ALLOW, (1, "EQ", 0, 0))


def _meant(simulation: Simulation, call: str, args: tuple[int, ...]) -> int | None:
    """Return what a profile's text says of a call, None if it says several things."""
    said = simulation.meant(ABIS["x86_64"], numbers(ABIS["x86_64"])[call], args)
    return next(iter(said)) if len(said) == 1 else None


@given(
    drawn,
    drawn,
    st.sets(st.sampled_from(CAPS)),
    st.lists(st.sampled_from(VALUES), min_size=2, max_size=2),
)
@example(profile(rule("keyctl")), profile(rule("keyctl", ALLOW, (0, "NE", 40, 0))), set(), [40, 0])
@example(profile({**FIVE, "errnoRet": 95}, WITH_0), profile(), set(), [5, 40])
@example(profile(FIVE, default=ALLOW), profile(NO_KEYCTL, default=ALLOW), set(), [5, 40])
@example(profile(ANY, NO_KEYCTL, default=LOG), profile(), set(), [5, 40])
@settings(deadline=None, max_examples=150)
def test_denials_stay_and_what_the_candidate_denies_more_is_logged(
    current: Any, candidate: Any, held: set[str], values: list[int]
) -> None:
    machine("x86_64")
    try:
        found = previewed(current, candidate, "enforce")
    except ProfileError:
        assume(False)
    args = (*values, 0, 0, 0, 0)
    profiles = (current, candidate, found.profile)
    simulations = [Simulation(resolve(one, frozenset(held)), Loader("crun")) for one in profiles]
    for call in CALLS:
        own, other, both = (_meant(one, call, args) for one in simulations)
        if own is None or other is None:
            continue  # libseccomp's order decides: filters.libseccomp_proof finds what it is
        expected = own
        if own in BOTH and other not in BOTH and call not in found.left:
            expected = return_codes.LOG
        assert both == expected, (call, args, found.profile)


def _compiled(name: str) -> Any:
    source = narrowed_comparisons.narrowed(builtin.load(name)).profile
    return compile_profile(source, arch="amd64", kernel=(6, 12))


def test_an_address_family_that_is_denied_more_is_logged_in_few_rules() -> None:
    found = previewed(_compiled("containerd@2.3.0"), _compiled("containerd@2.3.1"), "enforce")
    logged = [one["rule"] for one in found.profile["rules"] if one["rule"]["action"] == LOG]
    assert logged == [
        {"names": ["socket"], "action": LOG, "args": [
            {"index": 0, "value": 0xFFFFFFFF, "valueTwo": 38, "op": "SCMP_CMP_MASKED_EQ"}]},
    ]  # fmt: skip


def test_in_observe_the_agent_is_asked_but_not_of_what_the_runtime_needs() -> None:
    listener = modes.AgentListener("/x/notify.sock", killable=True)
    allowed = profile(rule("mount"), rule("read"), rule("bpf"))
    found = previewed(allowed, profile(rule("bpf")), "observe", listener).profile  # type: ignore[arg-type]  # drawn profiles are dicts
    assert [(one["rule"]["names"], one["rule"]["action"]) for one in found["rules"]] == [
        (["mount"], "SCMP_ACT_NOTIFY"), (["read"], LOG), (["bpf"], ALLOW),
    ]  # fmt: skip
    assert found["block"]["defaultAction"] == ERRNO
    assert found["block"]["listenerPath"] == "/x/notify.sock"
    assert modes.KILLABLE_FLAG in found["block"]["flags"]
    same = previewed(allowed, allowed, "observe", listener).profile  # type: ignore[arg-type]  # as above
    assert "listenerPath" not in same["block"]


def test_a_rule_that_only_moves_runcs_answer_to_unknown_calls_stays() -> None:
    """runc answers ENOSYS above the largest number named, in rules that it drops, too."""
    dropped = {"names": ["bpf", "mseal"], "action": ERRNO, "errnoRet": 1}
    current = profile(rule("bpf"), dropped)
    found = previewed(current, profile(), "enforce").profile  # type: ignore[arg-type]  # as above
    assert {"rule": dropped} in found["rules"]


def test_a_call_with_too_many_cases_keeps_its_rules() -> None:
    ranges = [rule("keyctl", ALLOW, *((i, "GT", 5 + i, 0) for i in range(3)))]
    current = profile(*ranges)
    found = previewed(current, profile(rule("mount")), "enforce")  # type: ignore[arg-type]  # as above
    assert found.left == ["keyctl"]
    assert found.profile["rules"] == current["rules"]
