from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runc_wrap.evidence.sightings import OBSERVE, RECORDED
from runc_wrap.evidence.store import call_counts
from runc_wrap.evidence.store.call_counts import MOST, Tallies
from runc_wrap.hotpath import json_codec
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.return_codes import USER_NOTIF
from tests.unit.evidence import samples
from tests.unit.evidence.samples import CLONE, SOCKET, UNSHARE, X86, X86_64, observed, sighting

POINTER, MKDIR = 0x7FFF12345678, 83


def test_arguments_are_kept_if_they_are_meaningful() -> None:
    rows: list[tuple[Any, ...]] = [
        (observed(UNSHARE, samples.NEWUSER, POINTER, 7), samples.NEWUSER, *[None] * 5),
        (observed(SOCKET, 40, 1, 0, POINTER), 40, 1, 0, None, None, None),
        (observed(CLONE | 1 << 30, 17), 17, None, None, None, None, None),
        (observed(102, 1, 0xFFB00000, arch=X86), 1, None, None, None, None, None),
        (observed(157, 22, 2, POINTER, 7, 8), 22, 2, None, None, None, None),  # PR_SET_SECCOMP
        (observed(157, 22, 2, 0, 7, 8), 22, 2, 0, None, None, None),
        (observed(157, 15, POINTER), 15, None, None, None, None, None),
        (observed(999, 3, POINTER, 0xFFFF, 0x10000), 3, None, 0xFFFF, None, 0, 0),
    ]
    for seen, *kept in rows:
        assert call_counts.argument_values(seen) == tuple(kept)


CHECKED = {  # by profiles; clone3 is numbered alike everywhere
    **dict.fromkeys("unshare clone personality keyctl bpf ptrace prctl".split(), (0,)),
    "clone3": (0, 1),
    **dict.fromkeys(("setns", "ioctl", "fcntl"), (1,)),
    **dict.fromkeys(("socket", "socketpair"), (0, 1, 2)),
    "mount": (3,),
}


@pytest.mark.parametrize("abi", ["x86_64", "x86", "aarch64", "arm", "riscv64", "loongarch64"])
def test_the_arguments_that_profiles_check_are_known_by_each_abis_numbers(abi: str) -> None:
    numbers = syscall_names.numbers(ABIS[abi])
    found = {name: call_counts.asked(ABIS[abi].audit, numbers[name]) for name in CHECKED}
    assert found == CHECKED


def test_a_workload_that_invents_programs_and_numbers_does_not_fill_memory() -> None:
    seen = Tallies()
    for number in range(5 * MOST):
        seen.add(sighting(number % (4 * MOST), comm=f"c{number}"))
    assert len(seen.calls) == 2 * MOST
    assert seen.dropped + sum(tally.count for tally in seen.calls.values()) == 5 * MOST


ARGS = st.none() | st.tuples(*[st.integers(0, 2**64 - 1)] * 6)
OTHERS = {"time": st.floats(0, 4e9), "comm": st.text(), "exe": st.text(), "args": ARGS}


@given(st.lists(st.builds(sighting, st.integers(-1, 2**32), **OTHERS), max_size=20))
def test_written_counts_are_read_back(sightings: list[Any]) -> None:
    seen = Tallies()
    for one in sightings:
        seen.add(one)
    text = json_codec.dumps(seen.as_json())
    back = Tallies.of_json(json_codec.loads(text))
    assert json_codec.dumps(back.as_json()) == text


def test_a_damaged_row_is_an_error() -> None:
    for row in (
        *([], "text"),
        [X86_64, 1, 1, None, "c", "e", 1, 1.0],
        [X86_64, "x", 1, None, "c", "e", 1, 1.0, 1.0],
        [X86_64, 1, 1, ["x"], "c", "e", 1, 1.0, 1.0],
        [X86_64, 1, 1, None, 5, "e", 1, 1.0, 1.0],
    ):
        with pytest.raises((ValueError, TypeError, KeyError)):
            Tallies.of_json({"ended": None, "dropped": 0, "calls": [row]})


@example("\udcff" * 255)
@given(st.text(alphabet="a\u00e9\udcff", max_size=600))
def test_text_that_was_read_back_is_not_shortened_again(text: str) -> None:
    once = call_counts.text(text)
    assert json_codec.loads(json_codec.dumps(once)) == once  # also if it is no Unicode
    assert len(once) <= 256
    assert call_counts.text(once) == once


def test_recorded_calls_have_no_programs_and_only_arguments_that_profiles_check() -> None:
    seen = Tallies()
    for at in range(MOST):
        one = sighting(MKDIR)._replace(code=USER_NOTIF | RECORDED, source=OBSERVE, comm=f"p{at}")
        seen.add(one._replace(args=(at, at, 0, 0, 0, 0)))
        seen.add(one._replace(number=SOCKET, args=(2, 1, 0, 0, 0, at)))
    found = {(call.number, call.args): one.count for call, one in seen.calls.items()}
    assert found == {(MKDIR, None): MOST, (SOCKET, (2, 1, 0, None, None, None)): MOST}
    assert {call.comm + call.exe for call in seen.calls} == {""}


def test_a_tally_read_back_keeps_no_more_arguments() -> None:
    back = Tallies()
    for flags in range(40):
        back = Tallies.of_json(back.as_json()) if flags == 20 else back
        back.add(observed(UNSHARE, flags))
    known = [call.args for call in back.calls if call.args and call.args[0] is not None]
    assert len(known) == 32
    assert [*back.calls][-1].args == (None,) * 6  # all others
