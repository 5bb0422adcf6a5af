"""Rules that compare by masks only: equal in meaning to others, and compiled rightly.

libseccomp up to 2.6.0 compiles some sets of rules that compare ranges wrongly (simulate.py says
which); of masks it makes no such chains. Each range becomes the blocks of numbers that masks
select, each rule as many rules as there are combinations.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath.comparison import EQ, MASKED_EQ
from runc_wrap.hotpath.rule_algebra import alternatives
from runc_wrap.profiles.arguments.negated_comparisons import index_of
from runc_wrap.profiles.arguments.number_ranges import blocks, spans
from runc_wrap.profiles.arguments.parameter_widths import WHOLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runc_wrap.hotpath.compiled_policy import CompiledRule

Json = dict[str, Any]
_TOP = (1 << WHOLE) - 1
_MOST = 512  # rules that one becomes


def masked(rules: list[CompiledRule], calls: Collection[str]) -> list[CompiledRule] | None:
    """Return the rules of a profile, those for these calls with masks; None for too many."""
    found: list[CompiledRule] = []
    for entry in rules:
        names = entry["rule"]["names"]
        chosen = [name for name in names if name in calls]
        if not chosen or not entry["rule"].get("args"):
            found.append(entry)
            continue
        if others := [name for name in names if name not in calls]:
            found.append({**entry, "rule": {**entry["rule"], "names": others}})
        groups = equal(entry["rule"]["args"])
        if groups is None:
            return None
        found += [
            {**entry, "rule": {**entry["rule"], "names": chosen, "args": list(group)}}
            for group in groups
        ]
    return found


def equal(args: list[Json]) -> list[tuple[Json, ...]] | None:
    """Return the combinations of comparisons that together hold where all of `args` do.

    Where one argument is compared twice, runtimes make a rule of each (libseccomp_input).
    """
    if len(alternatives(args)) > 1:
        return [(one,) for each in args for one in _equal(each)]
    columns = [list(_equal(each)) for each in args]
    return list(product(*columns)) if prod(map(len, columns)) <= _MOST else None


def _equal(one: Json) -> Iterator[Json]:
    """Yield the masked comparisons of which one holds where this one does."""
    if one["op"] in (EQ, MASKED_EQ):
        yield one
        return
    for first, last in spans(one["op"], one["value"], _TOP):
        for mask, datum in blocks(first, last, WHOLE):
            yield {"index": index_of(one), "value": mask, "valueTwo": datum, "op": MASKED_EQ}
