"""Whether libseccomp compiles a block to what its text says, call by call.

The filter that this machine's libseccomp makes is run for each call whose rules it may compile
wrongly (Simulation.is_uncertain), with arguments at, below and above the values that rules compare,
in both halves. Tests run it for all others. Takes a fiftieth of a second for an engine's default.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate import bpf
from runc_wrap.profiles import abis, actions, syscall_names

if TYPE_CHECKING:
    from collections.abc import Hashable

    from runc_wrap.filters.evaluate.bpf import Args, Program
    from runc_wrap.filters.evaluate.libseccomp_input import Loader
    from runc_wrap.filters.evaluate.simulate import Simulation
    from runc_wrap.filters.filter_comparison import Expectation
    from runc_wrap.profiles.abis import Abi


# Argument patterns tried for one call, each value alone before combinations: fewer for more rules
_MOST, _FEWEST, _COMPARISONS = 1024, 64, 50_000


class Miscompiled(NamedTuple):
    """A call whose filter does not do what the block says; `args` are an example."""

    syscall: str
    abi: str
    args: Args
    meant: int
    found: int

    def __str__(self) -> str:
        """Return it in half a sentence."""
        shown = ", ".join(map(hex, self.args))
        return (
            f"{self.syscall}({shown}) on {self.abi} gets {actions.describe(self.found)}, "
            f"where the rules say {actions.describe(self.meant)}"
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
        )
    ]
    for call in calls:
        if (key := simulation.key(*call)) not in known:
            known[key] = _of_call(expectation, loaded.program, *call)
    found = (known[simulation.key(*call)] for call in calls)
    return [one for one in found if one is not None]


def _of_call(
    expectation: Expectation, program: Program, abi: Abi, number: int
) -> Miscompiled | None:
    simulation = expectation.simulation
    interest = filter_comparison.to_try((program,), (simulation,), abi, number)
    rules = len(simulation.rules(abi, number)) or 1
    for args in islice(interest.calls(), min(_MOST, max(_FEWEST, _COMPARISONS // rules))):
        found = bpf.evaluate(program, bpf.SeccompData(abi.audit, number, args))
        meant = simulation.meant(abi, number, args)
        if found not in meant and not _is_stub(simulation, abi, number):
            name = syscall_names.name_of(abi, number)
            return Miscompiled(name, abi.name, args, min(meant, key=actions.restriction), found)
    return None


def _is_stub(simulation: Simulation, abi: Abi, number: int) -> bool:
    """Tell whether runc answers for a call before libseccomp's filter is asked."""
    return abi in simulation.load.stub and number > simulation.load.stub[abi]
