"""Whether a profile with a candidate beside it does what both say, call by call.

The filters that this machine's libseccomp makes of the three blocks are run for every number of
every ABI, with arguments at, below and above the values that any of them compares, in both halves.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.filter_comparison import Expectation
from runc_wrap.profiles import abis, return_codes, syscall_names
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Collection

    from runc_wrap.filters.evaluate.libseccomp_input import Block, Loader
    from runc_wrap.profiles.abis import Abi

_MOST = 4096  # argument patterns of one call: of more it is not known what the filter does
_LET_THROUGH = (return_codes.ALLOW, return_codes.LOG)
_ASKED = (return_codes.LOG, return_codes.USER_NOTIF)


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
    made = [Expectation(block, loader) for block in blocks]
    own, other, both = (one.simulation.load for one in made)
    if (own.abis, own.stub) != (both.abis, both.stub):
        raise ProfileError("runc would answer unknown calls otherwise")
    wrong = set()
    for abi in abis.runnable(syscall_names.native()):
        for number in filter_comparison.numbers(abi):
            name = syscall_names.name_of(abi, number)
            if only is None or name in only:
                logs = name not in left if abi in other.abis else None
                wrong |= {name} if _is_wrong(made, abi, number, logs=logs) else set()
    return Compared(wrong, *(len(made[at].program.instructions) for at in (0, 2)))


def _is_wrong(made: list[Expectation], abi: Abi, number: int, *, logs: bool | None) -> bool:
    """Tell whether the third filter does something else, or may: there is too much to be tried."""
    programs = [one.program for one in made]
    interest = filter_comparison.to_try(programs, [one.simulation for one in made], abi, number)
    tried = list(islice(interest.calls(), _MOST + 1))
    if len(tried) > _MOST:
        own_text, other_text, text = (one.simulation.key(abi, number) for one in made)
        return text != own_text or bool(logs and other_text != own_text)
    for args in tried:
        data = bpf.SeccompData(abi.audit, number, args)
        own, other, found = (bpf.evaluate(program, data) for program in programs)
        may_be_asked = logs is not False and own in _LET_THROUGH and other not in _LET_THROUGH
        is_asked = may_be_asked and found in _ASKED
        if not is_asked and (found != own or (may_be_asked and logs)):
            return True
    return False
