"""The setting `adopt`: what may replace the engines' default profiles in containers' configs.

`adopt = "runtime-default"` promises that the replacement lets nothing more through. A setting that
breaks the promise is refused where both are written together; where `adopt` comes from [default],
the containers in question keep the engine's default, and a remark says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath.decision import ADOPT, ADOPT_WEAKER, AS_STRICT, OBSERVE
from runc_wrap.policy import candidate_settings
from runc_wrap.policy.policy_errors import PolicyError
from runc_wrap.policy.settings import schema
from runc_wrap.policy.weaker_profiles import Weaker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runc_wrap.policy.compiler_facts import Facts
    from runc_wrap.policy.policy_compiler import Compiled
    from runc_wrap.policy.settings.schema import DecidingTable
    from runc_wrap.policy.weaker_profiles import Remembered

_OFF = "off"
_REMEDY = f'write adopt = "{ADOPT_WEAKER}" if it shall take its place all the same'


def settle(
    compiled: Compiled, values: Mapping[str, Any], facts: Facts, remembered: Remembered
) -> Compiled:
    """Return the compiled policy with what may replace each engine's default, and remarks.

    `remembered` keeps what was found from one `apply` to the next. Raises PolicyError.
    """
    weaker = Weaker(compiled, facts, remembered)
    compiled = replace(compiled, remarks=(*compiled.remarks, *weaker.own()))
    adoption = compiled.policy.get("adoption")
    if adoption is None:
        return compiled
    tables = list(schema.deciding_tables(values))
    problems: list[str] = []
    remarks: list[str] = []
    for table in tables:
        is_promised = table.written.get("adopt") == ADOPT
        (problems if is_promised else remarks).extend(_findings(table, weaker))
    if problems:
        raise PolicyError("\n".join(problems))
    within = weaker.within(tables) if any(one.effective["adopt"] == ADOPT for one in tables) else {}
    policy = {**compiled.policy, "adoption": {**adoption, "within": within}}
    return replace(compiled, policy=policy, remarks=(*compiled.remarks, *remarks))  # type: ignore[arg-type]  # a TypedDict again


def _findings(table: DecidingTable, weaker: Weaker) -> Iterator[str]:
    """Yield a sentence for each way in which a table lets more through than engines' defaults."""
    adopt, mode = table.effective["adopt"], table.effective["mode"]
    is_default = table.kind == schema.DEFAULT
    what = "default.adopt" if is_default else f"the rule {table.written['name']!r:.80}"
    where = f"{table.place('adopt')}{what}"
    if adopt == ADOPT_WEAKER and mode == _OFF:
        yield (
            f"note: {where}: the mode off takes the filter away from containers that bring the "
            "engine's default."
        )
    if adopt != ADOPT:
        return
    kept = f"note: {where}: containers that bring the engine's default keep it: "
    own = "adopt" in table.written
    if mode not in AS_STRICT and not (mode == OBSERVE and candidate_settings.is_for(table)):
        found = [f"the mode {mode} lets through what the engine's default denies"]
    else:
        found = [*weaker.more(table)] if own or "profile" in table.written else []
    for more in found:
        yield f'{where} adopts "{ADOPT}", but {more}; {_REMEDY}.' if own else f"{kept}{more}."
