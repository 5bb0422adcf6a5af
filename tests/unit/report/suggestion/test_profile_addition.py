from types import SimpleNamespace
from typing import Any

import pytest

from runc_wrap.evidence.sightings import AUDIT
from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.profiles import abis, syscall_names
from runc_wrap.profiles.composition import systemd_sets
from runc_wrap.report import call_outcomes
from runc_wrap.report.enforced_profile import Enforced
from runc_wrap.report.merge.merged_workload import MergedWorkload
from runc_wrap.report.suggestion import dangerous_calls, profile_addition
from runc_wrap.report.suggestion.profile_addition import Suggestion
from tests.unit.evidence import samples
from tests.unit.evidence.samples import CLONE, NEWUSER, SOCKET, UNSHARE, X86, observed, sighting
from tests.unit.report.test_verdict import KEY, Case

LOADER = Loader.of("runc", "1.3.0")
BLOCK: dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}
ADDED = [{"names": ["mbind"], "action": "SCMP_ACT_ALLOW", "comment": "seen once"}]
VSOCK, ALG, NETLINK, AUDIT_PROTOCOL = 40, 38, 16, 9


def _judged(*seen: Any, profile: str | Enforced = "containerd", **changes: Any) -> MergedWorkload:
    case = Case(samples.enforced(profile) if isinstance(profile, str) else profile)
    case.container(**changes)
    case.now = samples.START + 100
    case.evidence.add_watched(AUDIT, 0, case.now)
    for one in seen:
        case.evidence.add(KEY, one)
    (found,) = case.workloads()
    return found


def _suggested(judged: MergedWorkload, **options: bool) -> Suggestion:
    assert isinstance(judged.filter, Enforced)
    return profile_addition.suggest(judged.filter, judged, **{"allow_dangerous": True, **options})


def _gets(found: Suggestion, number: int, *args: int, arch: int = samples.X86_64) -> str | None:
    six = (*args, 0, 0, 0, 0, 0, 0)[:6]
    call = CallKind(arch, number, 0, six, "", "")
    return call_outcomes.of(call, Enforced(found.profile, LOADER)).errno


def test_an_addition_allows_what_was_seen_with_its_evidence() -> None:
    found = _suggested(_judged(sighting(), sighting(serial=2)))
    time = "2026-11-18T11:06:50Z"
    comment = f"EPERM; seen 2 times, by /usr/bin/unshare, {time} to {time}"
    assert found.added == [{"names": ["unshare"], "action": "SCMP_ACT_ALLOW", "comment": comment}]
    assert (_gets(found, UNSHARE), _gets(found, samples.MOUNT)) == (None, "EPERM")


KNOWN = [
    (observed(UNSHARE, NEWUSER), (0x20000,)),
    (observed(CLONE, NEWUSER | 17), (0x20000 | 17,)),
    (observed(SOCKET, VSOCK), ()),
    (observed(SOCKET, NETLINK, 3, AUDIT_PROTOCOL), ()),
    (observed(samples.PERSONALITY, 0x40000), (0x80000,)),
]


@pytest.mark.parametrize("profile", ["containerd", "moby", "containers-common", "crio"])
@pytest.mark.parametrize(("seen", "other"), KNOWN)
def test_only_known_arguments_are_allowed(profile: str, seen: Any, other: tuple[int, ...]) -> None:
    judged = _judged(seen, profile=profile)
    if judged.verdict == "safe":
        return  # this engine's profile allows it
    found = _suggested(judged, degrading=True)
    assert _gets(found, seen.number, *seen.args) is None
    assert all("args" in entry for entry in found.added)
    before = Suggestion(samples.block(profile), [])
    if other and _gets(before, seen.number, *other):
        assert _gets(found, seen.number, *other) is not None


def _open(*args: Any, default: str = "SCMP_ACT_ALLOW", name: str = "mount") -> Enforced:
    """Return a profile that allows all but a call with these arguments."""
    denied: dict[str, Any] = {"names": ["bpf", name], "action": "SCMP_ACT_ERRNO"}
    if args:
        denied["args"] = [{"index": i, "value": v, "op": f"SCMP_CMP_{op}"} for i, op, v in args]
    return Enforced({"defaultAction": default, "syscalls": [denied]}, LOADER)


BIND, REC, BPF = 0x1000, 0x5000, 321
STILL, ALL = "mount stays denied with other arguments", "mount is then allowed with any arguments"


WIDE = [
    [sighting(samples.MOUNT)],  # of which no arguments are known
    [observed(samples.MOUNT, 1, 2, 3, one) for one in (BIND, REC)],  # no rule says: neither
]


@pytest.mark.parametrize("seen", WIDE)
def test_a_denial_that_cannot_be_narrowed_is_removed_with_a_warning(seen: list[Any]) -> None:
    found = _suggested(_judged(*seen, profile=_open()))
    assert [one["names"] for one in found.profile["syscalls"]] == [["bpf"], ["mount"]]
    assert "args" not in found.added[0]
    assert _gets(found, BPF) == "EPERM"
    assert found.warnings[0].startswith(ALL)


DENIALS = [
    ([(0, "EQ", ALG)], [(ALG, 5, 0)], [(ALG, 3, 0)], []),  # all that it denied was seen
    ([(0, "EQ", ALG), (1, "EQ", 5)], [(ALG, 5, 0)], [], []),
    ([(0, "EQ", ALG), (0, "EQ", VSOCK)], [(ALG, 5, 0)], [(ALG, 3, 0)], [(VSOCK, 5, 0)]),
    ([(0, "GE", ALG)], [(ALG, 5, 0)], [(VSOCK, 5, 0)], []),  # cannot be narrowed
]


@pytest.mark.parametrize(("denied", "seen", "through", "still"), DENIALS)
def test_denials_by_arguments_are_kept_as_far_as_rules_can_express_them(
    denied: list[Any], seen: list[Any], through: list[Any], still: list[Any]
) -> None:
    profile = _open(*denied, name="socket")
    found = _suggested(_judged(*(observed(SOCKET, *one) for one in seen), profile=profile))
    for args in [*seen, *through]:
        assert _gets(found, SOCKET, *args) is None
    for args in still:
        assert _gets(found, SOCKET, *args) == "EPERM"


UNSEEN = [
    ("ALLOW", [1, 2, 3], [0, 4, 5]),
    ("LOG", [0], [1]),
    ("TRACE", [5, 9], [4, 6, 8, 10]),
    ("ALLOW", [BIND], [0, 0x2000, BIND | 1 << 40]),
]


@pytest.mark.parametrize(("default", "flags", "still"), UNSEEN)
def test_with_an_allowing_default_a_denial_stays_for_unseen_arguments(
    default: str, flags: list[int], still: list[int]
) -> None:
    seen = (observed(samples.MOUNT, 1, 2, 3, one) for one in flags)
    found = _suggested(_judged(*seen, profile=_open(default=f"SCMP_ACT_{default}")))
    assert {_gets(found, samples.MOUNT, 1, 2, 3, one) for one in flags} == {None}
    assert {_gets(found, samples.MOUNT, 1, 2, 3, one) for one in still} == {"EPERM"}
    assert _gets(found, BPF) == "EPERM"
    assert found.warnings[0].startswith(STILL)


@pytest.mark.parametrize(("kinds", "is_cut"), [(32, False), (33, True)])
def test_an_entry_for_more_arguments_than_are_kept_says_so(kinds: int, is_cut: bool) -> None:
    seen = (observed(samples.PERSONALITY, 0x1000000 + one) for one in range(kinds))
    found = _suggested(_judged(*seen))
    assert len(found.added) == (1 if is_cut else kinds)
    told = "allowed with any arguments, as not all of its arguments were kept"
    assert all((told in one["comment"]) is is_cut for one in found.added)


MBIND = 237


@pytest.mark.parametrize("name", ["bpf", "init_module", "kexec_load", "finit_module", "setns"])
def test_dangerous_calls_that_attackers_made_are_in_no_suggested_profile(name: str) -> None:
    number = next(n for n in range(500) if _name(n) == name)
    found = _suggested(_judged(sighting(number), sighting(MBIND)), allow_dangerous=False)
    assert [one.row.syscall for one in found.withheld] == [name]
    assert [entry["names"] for entry in found.added] == [["mbind"]]
    assert _gets(found, number) == "EPERM"


def _name(number: int) -> str:
    abi = abis.of_call(samples.X86_64, number)
    assert abi
    return syscall_names.name_of(abi, number)


DANGEROUS = [
    (observed(UNSHARE, 0x400), False),  # CLONE_FILES
    (observed(UNSHARE, 0x80), True),  # CLONE_NEWTIME
    (sighting(UNSHARE), True),  # with arguments that nobody knows
    (observed(SOCKET, 1), False),
    (observed(SOCKET, NETLINK, 3, 0), False),
    (observed(SOCKET, NETLINK, 3, AUDIT_PROTOCOL), True),
    (observed(SOCKET, ALG), True),
    (observed(SOCKET, ALG | 1 << 32), True),  # the kernel takes an int
    (observed(SOCKET, VSOCK), True),
    (sighting(SOCKET), True),
    (observed(CLONE, NEWUSER | 17), True),
    (observed(CLONE, 0x80), False),
]


@pytest.mark.parametrize(("seen", "is_withheld"), DANGEROUS)
def test_known_arguments_decide_whether_a_call_is_dangerous(seen: Any, is_withheld: bool) -> None:
    found = _suggested(_judged(seen, profile=Enforced(BLOCK, LOADER)), allow_dangerous=False)
    assert (bool(found.withheld), bool(found.added)) == (is_withheld, not is_withheld)


def test_every_dangerous_name_is_a_call_and_has_a_reason() -> None:
    known = {_name(number) for number in range(1000)} | OLD_OR_OF_OTHERS
    known |= {call for group in systemd_sets.names() for call in systemd_sets.calls(group)}
    assert set(dangerous_calls.CALLS) - known == set()
    assert {"mount", "bpf", "ptrace", "socket", "clone3"} < dangerous_calls.CALLS.keys()
    of_groups = "chroot init_module kexec_load iopl keyctl swapon stime perf_event_open nfsservctl"
    assert {*of_groups.split()} < dangerous_calls.CALLS.keys()  # whatever systemd has in its sets
    assert all(dangerous_calls.CALLS.values())


# of other architectures, or gone, or newer than the tables that we have
OLD_OR_OF_OTHERS = {"open_tree_attr", "vm86", "vm86old", "socketcall"}


def test_a_number_without_a_name_is_left_out_and_reported() -> None:
    judged = _judged(sighting(5000), sighting(serial=2))
    found = _suggested(judged, degrading=True)
    assert len(found.added) == 1
    assert any("#5000 is left out" in one for one in found.warnings)


def test_a_32_bit_program_gets_its_call_too() -> None:
    found = _suggested(_judged(sighting(310, arch=X86)))
    assert [entry["names"] for entry in found.added] == [["unshare"]]
    assert _gets(found, 310, arch=X86) is None


def test_a_call_by_an_abi_that_is_not_listed_is_withheld() -> None:
    """With the ABI in the list all that the profile allows could be called by it."""
    block = {**samples.block("containerd"), "architectures": ["SCMP_ARCH_X86_64"]}
    judged = _judged(sighting(20, arch=X86), profile=Enforced(block, LOADER))
    found = _suggested(judged, allow_dangerous=False)
    assert found.profile["architectures"] == ["SCMP_ARCH_X86_64"]
    assert [one.row.syscall for one in found.withheld] == ["getpid"]
    assert "ABI" in found.withheld[0].sentence
    assert _suggested(judged).profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]


def test_a_call_that_only_its_arguments_make_harmless_is_not_allowed_without_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where its arguments cannot be written it is withheld, not allowed with any."""
    nothing = Enforced(BLOCK, LOADER)
    judged = _judged(observed(SOCKET, 2, 1), profile=nothing)
    written = _suggested(judged, allow_dangerous=False)
    assert [entry["args"][0]["value"] for entry in written.added] == [2]
    monkeypatch.setattr(nothing, "with_block", lambda _: nothing)
    unwritten = profile_addition.suggest(nothing, judged, allow_dangerous=False)
    assert unwritten.added == []
    assert [one.row.syscall for one in unwritten.withheld] == ["socket"]


def _composed(*names: str, **changes: Any) -> profile_addition.ComposedAddition | None:
    known = SimpleNamespace(block=BLOCK)
    one: Any = SimpleNamespace(profiles=dict.fromkeys(names, 1), filter=known)
    return profile_addition.composed(one, Suggestion({**BLOCK, **changes}, ADDED), None)


NO_BASES = [
    ["localhost/own.json"],  # a node may name any that the policy's owner has
    ["runtime-default + mount"],
    ["containerd@1.7.24", "localhost/own.json"],
    ["unheard-of@1"],
]


@pytest.mark.parametrize("names", NO_BASES)
def test_of_what_nodes_say_only_an_engines_default_is_a_base(names: list[str]) -> None:
    assert _composed(*names) is None
    found = _composed("containerd@1.7.24", "moby@26.1.5")
    assert found is not None
    assert (found.text, found.file["base"]) == ("runtime-default + mbind", "runtime-default")
    another_abi = {"architectures": ["SCMP_ARCH_X86"]}  # is no addition
    assert _composed("containerd@1.7.24", **another_abi) is None
