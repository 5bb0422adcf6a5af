"""Whether libseccomp compiles a block to what its text says, call by call.

The filter that this machine's libseccomp makes is run for every number of every ABI, with arguments
at, below and above the values that rules compare, in both halves. That takes a fifth of a second
for an engine's default, and is left out where no call has rules that libseccomp may compile wrongly
(Simulation.is_certain): tests compare those with libseccomp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate import bpf, bpf_outcomes
from runc_wrap.filters.evaluate.simulate import Simulation
from runc_wrap.filters.kernel import libseccomp
from runc_wrap.profiles import abis, actions, syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.filters.evaluate.bpf import Args
    from runc_wrap.filters.evaluate.runtime_load import Block, Loader
    from runc_wrap.profiles.abis import Abi


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


def wrong(block: Block, loader: Loader) -> list[Miscompiled]:
    """Return the first such arguments of each call. Raises ProfileError for what is refused."""
    simulation = Simulation(block, loader)
    if simulation.is_certain:
        return []
    program = bpf.program(libseccomp.filter_bytes(simulation.load))
    return list(_wrong(simulation, program))


def _wrong(simulation: Simulation, program: bpf.Program) -> Iterator[Miscompiled]:
    for abi in abis.runnable(syscalls.native()):
        for number in filter_comparison.numbers(abi):
            if (found := _of_call(simulation, program, abi, number)) is not None:
                yield found


def _of_call(
    simulation: Simulation, program: bpf.Program, abi: Abi, number: int
) -> Miscompiled | None:
    interest = bpf_outcomes.interest((program,), abi.audit, number)
    for rule in simulation.rules(abi, number):
        for condition in rule:
            interest.note_condition(condition)
    for args in interest.calls():
        found = bpf.evaluate(program, bpf.SeccompData(abi.audit, number, args))
        meant = simulation.meant(abi, number, args)
        if found not in meant and not _is_stub(simulation, abi, number):
            name = syscalls.name_of(abi, number)
            return Miscompiled(name, abi.name, args, min(meant, key=actions.restriction), found)
    return None


def _is_stub(simulation: Simulation, abi: Abi, number: int) -> bool:
    """Tell whether runc answers for a call before libseccomp's filter is asked."""
    return abi in simulation.load.stub and number > simulation.load.stub[abi]
