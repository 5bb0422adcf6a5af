"""A candidate beside a profile, compiled by libseccomp: proved, or the call is not previewed."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.node.requirements import machine
from runc_wrap.apply.candidate_profiles import Beside
from runc_wrap.filters import libseccomp_proof
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.filter_comparison import Expectation
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.profiles import builtin, return_codes
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.mode_profiles.candidate_mode import previewed
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import ProfileError
from tests.unit.cli import ctl
from tests.unit.cli.ctl import Node
from tests.unit.policy.node import compiled
from tests.unit.profiles.mode_profiles import test_candidate_mode as drawn
from tests.unit.profiles.resolving import answer


@pytest.fixture(autouse=True, scope="module")
def _x86_64() -> None:
    machine("x86_64")


RUNC, CRUN = Loader("runc"), Loader("crun")
PASSING = (return_codes.ALLOW, return_codes.LOG)
X86 = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]


def _compiled(name: str, *, as_kernel: bool = True) -> Any:
    source = builtin.load(name)
    if as_kernel:
        source = narrowed_comparisons.narrowed(source).profile
    return compile_profile(source, arch="amd64", kernel=(6, 12))


def _codes(
    profiles: Sequence[Any], loader: Loader, abi: str, call: str, args: Sequence[int] = (), *,
    held: Sequence[str] = (),
) -> list[int]:  # fmt: skip
    """Return what libseccomp's filter of each profile answers to a call."""
    made = [Expectation(resolve(one, frozenset(held)), loader) for one in profiles]
    return [answer(one.program, ABIS[abi], call, args) for one in made]


CHANGED = [
    ("containerd@1.7.24", "containerd@2.3.1", "x86_64", "io_uring_setup", ()),
    ("containerd@1.7.24", "containerd@2.3.1", "x86", "io_uring_enter", ()),
    ("containerd@1.7.24", "containerd@2.3.1", "x86_64", "socket", (38,)),
    ("containerd@1.7.24", "containerd@2.3.1", "x86_64", "socket", (38 | 1 << 32,)),
    ("moby@29.4.1", "moby@29.4.2", "x86", "socketcall", (1,)),
    ("containers-common", "containerd@2.3.1", "x86_64", "unshare", ()),
]


@pytest.mark.parametrize(("current", "candidate", "abi", "call", "args"), CHANGED)
@pytest.mark.parametrize("as_kernel", [True, False])
def test_of_changed_defaults_a_call_is_logged_that_only_the_newer_denies(
    current: str, candidate: str, abi: str, call: str, args: tuple[int, ...], *, as_kernel: bool
) -> None:
    if not as_kernel and args == (38 | 1 << 32,):
        pytest.skip("the engines' own rules let it through (profile-tools, fact 1)")
    both = [_compiled(one, as_kernel=as_kernel) for one in (current, candidate)]
    beside = Beside(both[0], both[1], "enforce")
    cost = beside.cost(RUNC)
    assert call in cost.calls
    assert cost.left in ([], ["socket"])  # containers-common tells three arguments of it apart
    own, other, found = _codes([*both, beside.made(cost.left)], RUNC, abi, call, args)
    assert (own, found) == (return_codes.ALLOW, return_codes.LOG)
    assert other not in PASSING


@given(
    drawn.drawn, drawn.drawn, st.sampled_from(["x86_64", "x86"]), st.sampled_from([RUNC, CRUN]),
    st.lists(st.sampled_from(drawn.VALUES), min_size=2, max_size=2),
)  # fmt: skip
@settings(deadline=None, max_examples=12)
def test_of_drawn_profiles_the_filter_denies_exactly_what_the_current_one_denies(
    current: Any, candidate: Any, abi: str, loader: Loader, values: list[int]
) -> None:
    for one in (current, candidate):
        one["block"]["architectures"] = X86
    beside = Beside(current, candidate, "enforce")
    try:
        cost = beside.cost(loader)
    except ProfileError:
        return  # `apply` refuses it
    for call in drawn.CALLS:
        made = [current, candidate, beside.made(cost.left)]
        own, other, found = _codes(made, loader, abi, call, values)
        is_asked = own in PASSING and other not in PASSING and call not in cost.left
        assert found == (return_codes.LOG if is_asked else own), (call, cost)


@pytest.mark.parametrize("held", [(), ("CAP_BPF",)])
def test_what_libseccomp_makes_wrongly_is_not_previewed(held: tuple[str, ...]) -> None:
    """Two ranges of 64 bits on one argument: libseccomp 2.6.0 lets 3 through or not, by order.

    With BPF alone it is neither a usual container's, nor one's with none or with all.
    """
    current = drawn.profile(drawn.rule("keyctl"), drawn.rule("mount"))
    ranges = [drawn.rule("keyctl", "SCMP_ACT_ERRNO", (1, "LT", 3, 0))]
    ranges.append(drawn.rule("keyctl", "SCMP_ACT_ERRNO", (1, "LT", (1 << 32) + 3, 0)))
    candidate = drawn.profile(*ranges, default="SCMP_ACT_ALLOW")
    for one in candidate["rules"] if held else ():
        one |= {"all": [*held], "none": ["CAP_SYS_ADMIN"]}
    beside = Beside(current, candidate, "enforce")  # type: ignore[arg-type]  # drawn are dicts
    cost = beside.cost(CRUN)
    for value in (2, 3, (1 << 32) + 2, (1 << 32) + 3):
        made = [current, candidate, beside.made(cost.left)]
        own, other, found = _codes(made, CRUN, "x86_64", "keyctl", (0, value), held=held)
        assert (own, cost.left, found) in [
            (return_codes.ALLOW, [], return_codes.LOG if other not in PASSING else own),
            (return_codes.ALLOW, ["keyctl"], own),
        ]


def test_what_libseccomp_makes_wrongly_under_capabilities_of_two_calls_is_not_previewed() -> None:
    """Without a rule for all arguments it forgets the current one's, and not the preview's."""
    denied, both = "SCMP_ACT_ERRNO", [(0, "EQ", 5, 0), (1, "GT", 1, 0)]
    rules = [drawn.rule("clone3", denied, (1, "MASKED_EQ", 3, 1)), drawn.rule("mmap2", denied)]
    rules += [drawn.rule("mmap2", denied, *both), drawn.rule("connect", denied)]
    made: Any = [drawn.profile(*some, default="SCMP_ACT_ALLOW") for some in (rules[:3], rules[3:])]
    lost, mmap2, _, connect = (one for each in made for one in each["rules"])
    lost["none"], mmap2["all"], connect["all"] = ["CAP_BPF"], ["CAP_SYS_ADMIN"], ["CAP_KILL"]
    for one in made:
        one["block"]["architectures"] = X86
    assert "connect" in Beside(made[0], made[1], "enforce").cost(CRUN).left


def test_a_call_with_more_arguments_than_can_be_tried_is_not_previewed() -> None:
    """Nothing is said of it, unless both say the same; the others are looked at all the same."""
    values = [(index, "EQ", 7, 0) for index in range(4)]
    current = drawn.profile(drawn.rule("keyctl", "SCMP_ACT_ALLOW", *values), drawn.rule("mount"))
    same = [drawn.rule("keyctl", "SCMP_ACT_ALLOW", *values)]
    for candidate, left in ((drawn.profile(), ["keyctl"]), (drawn.profile(*same), [])):
        beside = Beside(current, candidate, "enforce")  # type: ignore[arg-type]  # drawn are dicts
        cost = beside.cost(CRUN)
        assert (cost.calls, cost.left) == ([*left, "mount"], left)
        found = _codes([current, beside.made(cost.left)], CRUN, "x86_64", "keyctl", [7] * 4)
        assert found == [return_codes.ALLOW] * 2


MORE_DENIED = [
    (drawn.ERRNO, "SCMP_ACT_ALLOW", X86[2:], ["any call through x32"]),
    ("SCMP_ACT_LOG", "SCMP_ACT_ALLOW", [], []),
    ("SCMP_ACT_ALLOW", "SCMP_ACT_ALLOW", [], []),
    ("SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY", [], ["mount"]),  # asks, so nothing can be logged
]


@pytest.mark.parametrize(("default", "own", "killed", "left"), MORE_DENIED)
def test_each_call_that_is_denied_more_counts_and_what_is_not_previewed_is_named(
    default: str, own: str, killed: list[str], left: list[str]
) -> None:
    current: Any = drawn.profile(drawn.rule("mount", own), drawn.rule("bpf"), default=default)
    candidate: Any = drawn.profile(drawn.rule("bpf"))
    current["block"]["architectures"] = X86
    candidate["block"]["architectures"] = [one for one in X86 if one not in killed]
    beside = Beside(current, candidate, "enforce")
    cost = beside.cost(RUNC)
    assert ("mount" in cost.calls, "keyctl" in cost.calls) == (True, default != drawn.ERRNO)
    assert ("bpf" in cost.calls) is bool(killed)
    assert cost.left == beside.made(cost.left)["unpreviewed"] == left


def test_a_filter_that_denies_more_or_less_is_found() -> None:
    base = drawn.profile(drawn.rule("mount"), drawn.rule("bpf"))
    less = drawn.profile(drawn.rule("mount"))
    rules = {
        "mount bpf": [{"names": ["mount"], "action": "SCMP_ACT_ALLOW"}],
        "keyctl": [*base["rules"], {"names": ["keyctl"], "action": "SCMP_ACT_LOG"}],
    }
    blocks = [resolve(one, frozenset()) for one in (base, less)]  # type: ignore[arg-type]  # dicts
    for wrong, entries in rules.items():
        plain = [one.get("rule", one) for one in entries]
        made = {**blocks[0], "syscalls": plain}
        found = libseccomp_proof.compare((blocks[0], blocks[1], made), CRUN, ())
        assert found.wrong - {"bpf"} == {*wrong.split()} - {"mount", "bpf"}
        assert ("bpf" in found.wrong) == (wrong == "mount bpf") or wrong == "keyctl"


def test_a_preview_that_moves_runcs_stub_is_refused() -> None:
    """It names a newer call: those in between would get another error than ENOSYS."""
    block = resolve(drawn.profile(drawn.rule("mount")), frozenset())  # type: ignore[arg-type]  # dicts
    made = {**block, "syscalls": [{"names": ["openat2"], "action": "SCMP_ACT_ALLOW"}]}
    with pytest.raises(ProfileError, match="runc would answer unknown calls otherwise"):
        libseccomp_proof.compare((block, block, made), Loader.of("runc", "1.2.0"), ())


def test_a_candidate_whose_denials_cannot_be_counted_is_looked_at() -> None:
    """What the profile in force may ask an agent about is not previewed, denied more or not."""
    compared = [[(at, "EQ", value * 7, 0) for at in range(3)] for value in range(104)]
    many = [drawn.rule("prctl", "SCMP_ACT_ALLOW", *one) for one in compared]
    rest = [drawn.rule("mount"), drawn.rule("bpf", "SCMP_ACT_NOTIFY")]
    current: Any = drawn.profile(*many, *rest)
    candidate: Any = drawn.profile(*many[::-1])
    cost = Beside(current, candidate, "enforce").cost(CRUN)
    assert (cost.calls, cost.left) == ([], ["bpf", "prctl"])
    assert "more values than can be tried" in cost.uncounted


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return ctl.node(tmp_path, monkeypatch)


def test_apply_says_what_a_candidate_costs_and_a_create_finds_its_profile(node: Node) -> None:
    node.configure(
        '[default]\nprofile = "containerd@1.7.24"\ncandidate = "containerd@2.3.1"\n'
        '[[rule]]\nname = "own"\npod = ["own"]\nprofile = "moby"\n'
        '[[rule]]\nname = "look"\npod = ["look"]\nmode = "audit"\n'
    )
    found = node.json("apply")
    assert [(one["mode"], one["calls"], one["left"]) for one in found["candidates"]] == [
        ("enforce", ["io_uring_enter", "io_uring_register", "io_uring_setup", "socket"], [])
    ]
    assert [one["candidate"] for one in found["rules"]] == [None, None]
    assert all(one["after"] > one["before"] for one in found["candidates"])
    printed = node.ctl("apply").stdout
    assert "not previewed" not in printed
    assert "beside containerd@1.7.24 (enforce): would deny 4 calls more; the filter" in printed


def test_apply_says_that_denials_are_not_counted_and_counts_calls_by_name(node: Node) -> None:
    wide: Any = {"defaultAction": "SCMP_ACT_ALLOW"}
    mount = {"names": ["mount"], "action": "SCMP_ACT_ERRNO"}
    caps = [f"CAP_{one}" for one in "BPF CHOWN KILL SYSLOG SYS_BOOT SYS_TIME SYS_NICE".split()]
    node.configure(
        '[default]\nprofile = "localhost/wide.json"\ncandidate = "localhost/caps.json"\n'
        '[[rule]]\nname = "a"\npod = ["a"]\ncandidate = "containerd@2.3.1"\n',
        wide=json.dumps({**wide, "syscalls": [mount]}).encode(),
        caps=json.dumps(
            {**wide, "syscalls": [{**mount, "includes": {"caps": [one]}} for one in caps]}
        ).encode(),
    )
    lines = [one for one in node.ctl("apply").stdout.splitlines() if one.startswith("candidate")]
    assert "what it would deny more is not counted, for rules of one call name" in lines[0]
    found = node.json("apply")["candidates"][1]
    assert not [one for one in found["calls"] if one.startswith("#")]
    said = f"deny {len(found['calls'])} calls and numbers without a name more"
    assert f"would {said}; the filter" in lines[1]
    compared = node.ctl("profile", "diff", "localhost/wide.json", "containerd@2.3.1").stdout
    assert said.replace("deny", "denies") in compared.splitlines()[-1]


def test_apply_prints_what_of_a_candidate_is_not_previewed(node: Node) -> None:
    native = {**json.loads(node.ctl("profile", "show", "moby").stdout), "architectures": X86[:1]}
    node.configure('[default]\ncandidate = "localhost/a.json"\n', a=json.dumps(native).encode())
    assert "; not previewed: any call through x32, any call through x86" in node.ctl("apply").stdout


def test_podmans_default_can_be_previewed(node: Node) -> None:
    """It compares three arguments of socket: too many to try all, and no candidate changes that."""
    name = "containers-common"
    node.configure(f'[default]\nprofile = "{name}"\ncandidate = "{name} - sysinfo"\n')
    (found,) = node.json("apply")["candidates"]
    assert (found["calls"], found["left"]) == (["sysinfo"], [])


OBSERVED = 'mode = "observe"\ncandidate = "moby"\n[[rule]]\nname = "a"\n'
BESIDE_NOTHING = [
    ('mode = "audit"\ncandidate = "moby"', "default.candidate is looked at beside a profile"),
    ('mode = "off"\ncandidate = "moby"', "the mode is off: use enforce, enforce-log or obs"),
    ('candidate = "nobody"', "profile nobody: no built-in profile is called"),
    ('[[rule]]\nname = "a"\nmode = "off"\ncandidate = "moby"', "has no meaning with mode off"),
    ('[[rule]]\nname = "a"\nmode = "audit"\ncandidate = "moby"', "and the mode is audit"),
    (f'{OBSERVED}profile = "moby"', "default.candidate is not for this rule"),
    (f"{OBSERVED}record = true", "default.candidate is not for this rule"),
]


@pytest.mark.parametrize(("settings", "said"), BESIDE_NOTHING)
def test_a_candidate_beside_nothing_is_refused(node: Node, settings: str, said: str) -> None:
    node.configure(f"[default]\n{settings}")
    assert said in node.failure("apply")


def test_observe_with_a_candidate_says_that_the_profile_is_enforced() -> None:
    rule = {"name": "a", "pod": ["x"], "mode": "observe"}
    found = compiled({"default.candidate": "moby", "rule": [rule]}, listener="/x/notify.sock")
    said = [one for one in found.remarks if "the mode observe enforces the profile" in one]
    assert len(said) == 1
    pairs = {(one.mode, one.candidate) for one in found.pairs}
    assert pairs == {("enforce", "moby"), ("observe", "moby")}  # enforce: without an agent


def test_the_overlay_stays_and_a_candidate_is_not_had_while_recording() -> None:
    settings = {"default.profile": "containerd@1.7.24", "default.candidate": "containerd@2.3.1"}
    made = compiled({**settings, "overlay.deny": ["io_uring_setup", "mkdirat"]})
    both = [made.profiles[name, "enforce"] for name in settings.values()]
    beside = Beside(both[0], both[1], "enforce")
    cost = beside.cost(RUNC)
    assert cost.calls == ["socket"]  # the overlay denies all of rings
    own, _, found = _codes([*both, beside.made(())], RUNC, "x86_64", "io_uring_setup")
    assert own == found == return_codes.ERRNO | 1
    with pytest.raises(PolicyError, match="and record = true go not together"):
        compiled({**settings, "default.record": True})


def test_all_dated_defaults_can_be_previewed_beside_their_predecessor() -> None:
    """All that a release denies more, but socket of Podman and CRI-O is looked at."""
    for name, source in builtin._SOURCES.items():  # noqa: SLF001 - all there are
        made = [_compiled(f"{name}@{version}") for version in sorted(source.known())]
        for current, candidate in itertools.pairwise(made):
            found = previewed(current, candidate, "enforce")
            known = [[], ["socket"]] if name in ("containers-common", "crio") else [[]]
            assert found.left in known, (name, current["version"], candidate["version"])


def test_in_observe_a_profile_with_its_own_listener_is_refused() -> None:
    """The agent, which lets every call continue, would answer for it."""
    current: Any = drawn.profile(drawn.rule("mount", "SCMP_ACT_NOTIFY"), drawn.rule("bpf"))
    other: Any = drawn.profile(drawn.rule("mount"))
    Beside(current, other, "enforce").cost(CRUN)
    with pytest.raises(ProfileError, match="it has a listener, so the agent"):
        Beside(current, other, "observe").cost(CRUN)
