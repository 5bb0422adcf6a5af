"""The setting `adopt`: what may replace the engines' default profiles in containers' configs.

`adopt = "runtime-default"` promises that the replacement lets nothing more through. A setting that
breaks the promise is refused where both are written together; where `adopt` comes from [default],
the containers in question keep the engine's default, and a remark says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runc_wrap.hotpath.decision import ADOPT, ADOPT_WEAKER, AS_STRICT
from runc_wrap.policy.named_profiles import placing
from runc_wrap.policy.policy_errors import PolicyError
from runc_wrap.policy.settings import schema
from runc_wrap.policy.weaker_profiles import Table, Weaker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runc_wrap.policy.compiler_facts import Facts
    from runc_wrap.policy.policy_compiler import Compiled

_OFF = "off"
_REMEDY = f'write adopt = "{ADOPT_WEAKER}" if it shall take its place all the same'


def settle(compiled: Compiled, values: Mapping[str, Any], facts: Facts) -> Compiled:
    """Return the compiled policy with what may replace each engine's default, and remarks.

    Raises PolicyError.
    """
    weaker = Weaker(compiled, facts)
    compiled = replace(compiled, remarks=(*compiled.remarks, *weaker.own()))
    adoption = compiled.policy.get("adoption")
    if adoption is None:
        return compiled
    tables = list(_tables(values))
    problems: list[str] = []
    remarks: list[str] = []
    for table in tables:
        is_promised = "adopt" in table.written and table.adopt == ADOPT
        (problems if is_promised else remarks).extend(_findings(table, weaker))
    if problems:
        raise PolicyError("\n".join(problems))
    within = weaker.within(tables) if any(one.adopt == ADOPT for one in tables) else {}
    policy = {**compiled.policy, "adoption": {**adoption, "within": within}}
    return replace(compiled, policy=policy, remarks=(*compiled.remarks, *remarks))  # type: ignore[arg-type]  # a TypedDict again


def _tables(values: Mapping[str, Any]) -> Iterator[Table]:
    place = placing(values)
    names = ("adopt", "mode", "profile")
    adopt, mode, profile = (values[f"default.{name}"] for name in names)
    where = place("default.adopt")
    yield Table(where, "default.adopt", adopt, mode, profile, ["*"], frozenset(names))
    for number, rule in enumerate(values[schema.RULES]):
        where, what = place(schema.RULES, number, "adopt"), f"the rule {rule['name']!r:.80}"
        adopt, mode, profile = (rule.get(name, values[f"default.{name}"]) for name in names)
        engines = rule.get("engine", ["*"])
        yield Table(where, what, adopt, mode, profile, engines, frozenset(rule))


def _findings(table: Table, weaker: Weaker) -> Iterator[str]:
    """Yield a sentence for each way in which a table lets more through than engines' defaults."""
    promised = f'{table.where}{table.what} adopts "{ADOPT}", but '
    kept = f"note: {table.where}{table.what}: containers that bring the engine's default keep it: "
    if table.adopt == ADOPT_WEAKER and table.mode == _OFF:
        yield (
            f"note: {table.where}{table.what}: the mode off takes the filter away from containers "
            "that bring the engine's default."
        )
    if table.adopt != ADOPT:
        return
    own = "adopt" in table.written
    if table.mode not in AS_STRICT:
        more = f"the mode {table.mode} lets through what the engine's default denies"
        yield f"{promised}{more}; {_REMEDY}." if own else f"{kept}{more}."
    elif "profile" in table.written or own:
        for more in weaker.more(table):
            yield f"{promised}{more}; {_REMEDY}." if own else f"{kept}{more}."
