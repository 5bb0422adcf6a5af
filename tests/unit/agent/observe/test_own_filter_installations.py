"""A program's own filters: which are kept, and which calls they stop."""

import ctypes
import os
import struct
from errno import ENOMEM, ENOSYS, EPERM
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runc_wrap.agent.observe import container_limits, inspector, own_filter_installations
from runc_wrap.agent.observe.container_limits import ObservedContainer
from runc_wrap.agent.observe.own_filter_installations import MOST, TracingFilters
from runc_wrap.agent.observe.seccomp_unotify import Notification
from runc_wrap.filters.evaluate import bpf, bpf_machine
from runc_wrap.profiles import return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS

X86_64, X86 = 0xC000003E, 0x40000003
SECCOMP, PRCTL, KEYCTL, CLONE3 = 317, 157, 250, 435
TRACE, ALLOW, ERRNO, NOTIFY = 0x7FF00001, 0x7FFF0000, 0x50001, 0x7FC00000
NEW_LISTENER = 8
MEMORY = 0x1000


def raw(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("=HBBI", *one) for one in instructions)


def answering(number: int, action: int) -> bytes:
    """Return a filter with this answer to one call, which allows all others."""
    return raw((0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, action), (6, 0, 0, ALLOW))


TRACING = answering(KEYCTL, TRACE)


def call(number: int = KEYCTL, *args: int, arch: int = X86_64) -> Notification:
    return Notification((1, 100, 0, number, arch, 0x400000, *(*args, 0, 0, 0, 0, 0, 0)[:6]))


class Fake:
    """An inspector's answers, and how often it was asked; None: no answer."""

    read: Any

    def __init__(self, program: bytes | None, filters: int | None, tracer: int = 0) -> None:
        self.asked: list[int] = []
        self.answers(program, filters, tracer)

    def answers(self, program: bytes | None, filters: int | None, tracer: int = 0) -> None:
        self.read = SimpleNamespace(program=program, filters=filters, tracer=tracer)

    def ask(self, _container: object, _tid: int, what: int, _at: int) -> Any:
        assert what >= inspector.STANDING
        self.asked.append(what)
        return self.read

    def own(self, state: object = None) -> TracingFilters:
        return TracingFilters(self, ObservedContainer(("c", "")), state)  # type: ignore[arg-type]


def of_state(state: object = None) -> TracingFilters:
    return Fake(None, None).own(state)


def asks(own: TracingFilters, one: Notification | None = None, *, is_kept: bool = True) -> int:
    return own.error(one or call(), lambda: is_kept)


def install(own: TracingFilters, *, is_kept: bool = True) -> int:
    return asks(own, call(SECCOMP, 1, 0, MEMORY), is_kept=is_kept)


@pytest.mark.parametrize(("name", "first"), [("seccomp", 1), ("prctl", 22)])
def test_the_call_numbers_match_libseccomp(name: str, first: int) -> None:
    if syscall_names.known_to_libseccomp([]) is None:
        pytest.skip("no libseccomp")
    wanted = {(abi.audit, syscall_names.numbers(abi)[name]) for abi in ABIS.values()}
    assert {key for key, one in own_filter_installations._FIRST.items() if one == first} == wanted  # noqa: SLF001 - the table itself


def test_calls_that_install_a_filter_are_recognized() -> None:
    for one in (
        call(SECCOMP, 1, 0, MEMORY),
        call(PRCTL, 22, 2, MEMORY),
        call(PRCTL, 22 | 7 << 32, 2, MEMORY),
        call(SECCOMP | 0x40000000, 1, 0, MEMORY),
        call(354, 1, 0, MEMORY, arch=X86),
    ):
        assert own_filter_installations.is_installation(one)
    for one in (
        call(SECCOMP, 1, 0, 0),  # a probe: it names none
        call(SECCOMP, 2, 0, MEMORY),
        call(PRCTL, 15, 0, MEMORY),
        call(354, 1, 0, MEMORY),  # another call of x86_64's
    ):
        assert not own_filter_installations.is_installation(one)


@pytest.mark.parametrize("action", [ALLOW, ERRNO, 0x30000, 0x80000000, 0x7FFC0000, 0x7FC00000])
def test_a_filter_that_cannot_trace_changes_nothing_and_costs_nothing(action: int) -> None:
    fake = Fake(answering(KEYCTL, action), 1)
    own = fake.own()
    assert install(own) == 0
    assert own.kept == []
    fake.asked.clear()
    assert asks(own) == 0
    assert fake.asked == []


def test_a_thread_that_may_have_the_filter_is_refused_the_calls_it_traces() -> None:
    fake = Fake(TRACING, 1)
    own = fake.own()
    assert install(own) == 0
    rows = [(2, 0, ENOSYS), (2, 77, EPERM), (1, 0, 0), (1, 77, 0), (None, 0, ENOSYS)]
    for filters, tracer, error in rows:
        fake.answers(None, filters, tracer)
        assert asks(own) == error
        assert asks(own, call(PRCTL)) == 0  # it allows that


def test_a_caller_that_cannot_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_filter_installations, "_PAUSE", 0)
    fake = Fake(TRACING, 1)
    own = fake.own()
    install(own)
    fake.read = None
    assert asks(own) == EPERM
    assert asks(own, call(CLONE3)) == 0  # the filter allows it, whoever calls
    own.add(0, None)
    assert asks(own, call(CLONE3)) == ENOSYS
    fake.read = object()  # as by an error of our own
    assert asks(own) == EPERM


def test_a_filter_that_cannot_be_read_counts_as_tracing_everything() -> None:
    fake = Fake(None, 1)
    own = fake.own()
    assert install(own) == 0
    assert own.kept == [(1, None)]
    fake.answers(None, 2)
    assert asks(own, call(PRCTL)) == ENOSYS
    fake.answers(None, 1)
    assert asks(own, call(PRCTL)) == 0


def test_a_filter_is_stored_first_or_not_installed() -> None:
    own = Fake(TRACING, 1).own()
    assert install(own, is_kept=False) == ENOMEM
    assert of_state(own.as_state()).kept == own.kept == [(1, TRACING)]
    assert of_state("nonsense").kept == []
    assert of_state([["x", 1]]).kept == [(0, None)]


def test_the_stored_filters_are_bounded_and_none_is_forgotten() -> None:
    own = of_state()
    for at in range(1000):
        own.add(3, answering(at, TRACE))
        assert len(own.kept) <= MOST
    assert all(own.traces(call(at), 4) for at in (0, 500, 999))
    assert not own.traces(call(0), 3)
    long = raw(*[(0, 0, 0, 0)] * (own_filter_installations.MOST_INSTRUCTIONS - 1), (6, 0, 0, TRACE))
    own = of_state()
    assert own.add(1, long)
    assert not own.add(2, long)  # who has more has it too
    assert own.add(1, TRACING)
    assert own.kept == [(1, None)]


_code = st.sampled_from(
    [0x20, 0x80, 0x00, 0x60, 0x81, 0x01, 0x61, 0x02, 0x03, 0x06, 0x16, 0x07, 0x87, 0x84, 0x05]
    + [
        kind | source | 4
        for kind in (0, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xA0)
        for source in (0, 8)
    ]
    + [kind | source | 5 for kind in (0x10, 0x20, 0x30, 0x40) for source in (0, 8)]
)
_k = st.sampled_from([0, 1, 2, 4, 8, 15, 16, 60, 0xFFFFFFFF, TRACE]) | st.integers(0, 2**32 - 1)
_steps = st.lists(st.tuples(_code, st.integers(0, 3), st.integers(0, 3), _k), max_size=12)
_registers = st.tuples(*[st.integers(0, 2**64 - 1)] * 6)


@given(_steps, _registers)
def test_a_filter_answers_alike_along_chains_and_step_by_step(steps: list[Any], args: Any) -> None:
    kept: list[Any] = []
    for code, true, false, k in steps:
        jumps = code == 5 or (code & 7) == 5
        if code == 5:
            k = 0  # noqa: PLW2901 - a jump that stays inside
        place = k % 16 if code in (0x60, 0x61, 2, 3) else (k % 16) * 4 if code == 0x20 else k
        if code == 0x34 and not place:
            place = 1
        kept.append((code, 0 if jumps else true, 0 if jumps else false, place))
    data = raw(*kept, (0x16, 0, 0, 0))
    program = bpf.program(data)
    one = call(KEYCTL, *args)
    words = bpf.SeccompData(one.arch, one.number, args).words()
    found = bpf.evaluate(program, bpf.SeccompData(one.arch, one.number, args))
    assert bpf_machine.action(data, words) == found & 0xFFFF0000
    assert bpf_machine.may_answer(data, return_codes.TRACE)


def test_a_filter_is_read_in_the_layout_of_its_abi() -> None:
    code = ctypes.create_string_buffer(TRACING, len(TRACING))
    where = ctypes.addressof(code)
    whole = ctypes.create_string_buffer(struct.pack("=H6xQ", len(TRACING) // 8, where))
    at = ctypes.addressof(whole)
    assert inspector.program(os.getpid(), at, compat=False) == TRACING
    for length in (0, 4097):
        bad = ctypes.create_string_buffer(struct.pack("=H6xQ", length, where))
        assert inspector.program(os.getpid(), ctypes.addressof(bad), compat=False) == b""
    assert inspector.program(os.getpid(), 0x10, compat=True) == b""
    assert inspector.program(1 << 22, at, compat=False) == b""
    assert inspector.LARGEST > 4096 * 8 + 8192


def test_unreadable_callers_delay_others_a_second_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    fake = Fake(TRACING, 1)
    own = fake.own([[0, TRACING.hex()]])
    fake.read = None
    for _ in range(1000):
        assert asks(own)
    assert sum(waits) == pytest.approx(container_limits.WAITING)


def test_an_installation_records_whether_the_filter_may_hide_calls() -> None:
    for program, flags, hides in (
        (answering(KEYCTL, NOTIFY), 0, True),
        (answering(KEYCTL, NOTIFY), NEW_LISTENER, False),  # fails: there is one
        (answering(KEYCTL, NOTIFY), 1, True),
        (answering(KEYCTL, ERRNO), 0, False),
        (answering(KEYCTL, TRACE), 0, False),
        (raw((0x20, 0, 0, 0), (0x16, 0, 0, 0)), 0, True),  # RET A: whatever the call's number is
        (None, 0, True),
    ):
        one = call(SECCOMP, 1, flags, MEMORY)
        asks(Fake(program, 1).own(), one)
        assert one.hides is hides, program
