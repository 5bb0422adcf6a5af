"""Whether the filters that libseccomp makes of blocks do what is meant, call by call.

`wrong` asks whether it compiles a block to what its text says: for each call whose rules it may
compile wrongly (Simulation.is_uncertain), compares in fewer bits (is_cut), or that contradict each
other (may_conflict). Tests try all others. Where rules of several actions hold the strictest is
meant, though runtimes drop rules that say what the default does. libseccomp tests the last argument
first, of one for equality before ranges, then by value (src/db.c), and only then by order.
Takes a fiftieth of a second for an engine's default. `compare` asks whether a profile with a
candidate beside it does what both say, for every number of every ABI.

This machine's libseccomp makes the filters. They are run with arguments at, below and above the
values that rules, or any of the filters, compare, in both halves: by `wrong` with every combination
of those that rules or filter tell apart.
"""

from collections.abc import Collection, Hashable
from itertools import chain, islice
from typing import NamedTuple

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.block_evaluation import is_beyond
from runc_wrap.filters.evaluate.bpf import Args, Program
from runc_wrap.filters.evaluate.libseccomp_input import Block, Loader
from runc_wrap.filters.filter_comparison import Expectation
from runc_wrap.hotpath import json_codec
from runc_wrap.profiles import abis, actions, return_codes, syscall_names
from runc_wrap.profiles.abis import Abi
from runc_wrap.profiles.source_profile import ProfileError

_MOST = 1 << 16  # argument patterns of one call: more would take seconds
_MOST_COMPARED = 4096  # argument patterns of one call: of more it is not known what the filter does
LET_THROUGH = (return_codes.ALLOW, return_codes.LOG)
_ASKED = (return_codes.LOG, return_codes.USER_NOTIF)


class Miscompiled(NamedTuple):
    """A call whose filter does not do what the block says; `args` are an example.

    `found` is what is meant if there are too many values to tell. `others`: `found` is what another
    rule says that holds as well.
    """

    syscall: str
    abi: str
    args: Args
    meant: int
    found: int
    others: bool = False

    @property
    def is_tolerable(self) -> bool:
        """Tell whether only another error or signal is meant, which another rule says."""
        return self.others and actions.restriction(self.found) == actions.restriction(self.meant)

    def __str__(self) -> str:
        """Return it in half a sentence."""
        if self.found == self.meant:
            return f"{self.syscall} on {self.abi} compares too many values to be proved right"
        shown = ", ".join(map(hex, self.args))
        say = "another rule says" if self.others else "the rules say"
        return (
            f"{self.syscall}({shown}) on {self.abi} gets {actions.describe(self.found)}, "
            f"where {say} {actions.describe(self.meant)}"
        )


def wrong(
    text: bytes,
    loader: Loader,
    known: dict[Hashable, Miscompiled | None],
    instead: bytes | None = None,
) -> list[Miscompiled]:
    """Return the first such arguments of each call. Raises ProfileError for what is refused.

    `known` is kept between blocks: a call with the same rules is not tried twice. With `instead`,
    a block that is loaded in place of this one, each call for which it has other rules is tried.
    """
    expectation = filter_comparison.lazily(text, loader)
    simulation = expectation.simulation
    loaded = filter_comparison.lazily(instead, loader) if instead else expectation
    calls = [
        (abi, number)
        for abi in simulation.load.abis
        if abi in abis.runnable(syscall_names.native())
        for number in filter_comparison.numbers(abi)
        if (
            simulation.key(abi, number) != loaded.simulation.key(abi, number)
            if instead
            else simulation.is_uncertain(abi, number)
            or simulation.is_cut(abi, number)
            or simulation.may_conflict(abi, number)
        )
    ]
    program = loaded.program  # also without such a call: libseccomp may refuse the block
    found = []
    for call in calls:
        key = simulation.key(*call), text if simulation.is_cut(*call) else None
        if key not in known:
            known[key] = _of_call(expectation, program, *call)
        found.append(known[key])
    return [one for one in found if one is not None]


def _of_call(
    expectation: Expectation, program: Program, abi: Abi, number: int
) -> Miscompiled | None:
    simulation = expectation.simulation
    interest = filter_comparison.to_try((program,), (simulation,), abi, number)
    conditions = {*chain.from_iterable(simulation.rules(abi, number))}
    tried = interest.apart(conditions, _MOST)
    name = syscall_names.name_of(abi, number)
    if tried is None:
        return Miscompiled(name, abi.name, bpf.NO_ARGS, 0, 0)
    tolerable = None
    for args in tried:
        found = bpf.evaluate(program, bpf.SeccompData(abi.audit, number, args))
        meant = simulation.meant(abi, number, args)
        strictest = min((actions.restriction(one), one == found, one) for one in meant)[2]
        if found != strictest and not is_beyond(simulation.load.stub, abi, number):
            one = Miscompiled(name, abi.name, args, strictest, found, found in meant)
            if not one.is_tolerable:
                return one
            tolerable = one
    return tolerable


class Compared(NamedTuple):
    """The calls that do something else, by name, and the filters' instructions before and after."""

    wrong: set[str]
    before: int
    after: int


def compare(
    blocks: tuple[Block, Block, Block],
    loader: Loader,
    left: Collection[str],
    only: Collection[str] | None = None,
) -> Compared:
    """Try the third block: the first, with what the second denies more being logged.

    Of `left` nothing is logged. Of an ABI that the second does not list, and so kills, any part may
    be. `only` names the calls to try, None for all. Raises ProfileError for one that is refused.
    """
    made = [filter_comparison.lazily(json_codec.dumps(block), loader) for block in blocks]
    own, other, both = (one.simulation.load for one in made)
    if (own.abis, own.stub) != (both.abis, both.stub):
        raise ProfileError("runc would answer unknown calls otherwise")
    wrong = set()
    for abi, number in filter_comparison.every_number():
        name = syscall_names.name_of(abi, number)
        if only is None or name in only:
            logs = name not in left if abi in other.abis else None
            wrong |= {name} if _is_wrong(made, abi, number, logs=logs) else set()
    return Compared(wrong, *(len(made[at].program.instructions) for at in (0, 2)))


def _is_wrong(made: list[Expectation], abi: Abi, number: int, *, logs: bool | None) -> bool:
    """Tell whether the third filter does something else, or may: there is too much to be tried."""
    programs = [one.program for one in made]
    interest = filter_comparison.to_try(programs, [one.simulation for one in made], abi, number)
    tried = list(islice(interest.calls(), _MOST_COMPARED + 1))
    if len(tried) > _MOST_COMPARED:
        own_text, other_text, text = (one.simulation.key(abi, number) for one in made)
        return text != own_text or bool(logs and other_text != own_text)
    for args in tried:
        data = bpf.SeccompData(abi.audit, number, args)
        own, other, found = (bpf.evaluate(program, data) for program in programs)
        may_be_asked = logs is not False and own in LET_THROUGH and other not in LET_THROUGH
        is_asked = may_be_asked and found in _ASKED
        if not is_asked and (found != own or (may_be_asked and logs)):
            return True
    return False
