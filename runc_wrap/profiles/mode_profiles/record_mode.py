"""A compiled profile that also sends the agent the calls that it allows: `record` in the policy.

What the profile denies stays denied: only the action of rules that allow changes, from ALLOW to
NOTIFY, on which the agent always lets a call continue. BASE stays as it is.

A program's own filter that answers TRACE is outranked by NOTIFY. So each installation of a filter
is sent as well, as in observe (agent.observe.own_filter_installations).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.hotpath.rule_algebra import calls_of, renamed
from runc_wrap.profiles.mode_profiles import observe_mode, own_filter_rules
from runc_wrap.profiles.runtime_spec_names import ALLOW, NOTIFY
from runc_wrap.profiles.unobserved_calls import BASE

if TYPE_CHECKING:
    from runc_wrap.hotpath.compiled_policy import CompiledProfile, CompiledRule

# as measured in docs/measurements.md, on two busy cores
COST = (
    "Recording costs about 1 ms for each call about which the agent is asked. A script that does "
    "little but start programs took 4 to 5 times as long, a walk through all files 1.6 times."
)
# the metadata of a listener to which only calls that the profile allows are sent
METADATA = f"{observe_mode.METADATA} record"  # agent.observe.argument_rules.RECORDS


def sent(made: CompiledProfile, *, is_observed: bool) -> list[CompiledRule]:
    """Return a profile's rules, of which those that allow calls beyond BASE send them."""
    rules = made["rules"]
    if not is_observed:  # else they are sent already
        rules = own_filter_rules.rules(rules, made["block"]["defaultAction"], NOTIFY)
    return [part for entry in rules for part in _sent(entry)]


def _sent(entry: CompiledRule) -> list[CompiledRule]:
    if entry["rule"]["action"] != ALLOW:
        return [entry]
    base = [name for name in calls_of(entry) if name in BASE]
    asked = [name for name in calls_of(entry) if name not in BASE]
    notified: CompiledRule = {**entry, "rule": {**entry["rule"], "action": NOTIFY}}
    return [renamed(one, names) for one, names in ((entry, base), (notified, asked)) if names]
