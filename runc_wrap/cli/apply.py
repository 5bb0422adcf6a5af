"""runc-wrapctl apply."""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from runc_wrap.apply import apply_policy
from runc_wrap.cli import options, output, status, tighten
from runc_wrap.hotpath.annotations import LOCALHOST
from runc_wrap.node import installed_programs
from runc_wrap.node.container_state import deep_verify, redecide
from runc_wrap.node.container_state.redecide import DecisionChange
from runc_wrap.node.paths import Places
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.arguments import narrowed_comparisons

_OF_CHANGED = ("id", "namespace", "pod", "container", "action", "mode", "profile")
_OF_DECISION = ("action", "mode", "profile", "candidate", "reason")
_OF_RULE = ("name", "mode", "profile", "adopt", "record", "candidate")


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Check only; change nothing.")
@click.option("--diff", is_flag=True, help="Check only; name running containers that would change.")
@click.option("--force", is_flag=True, help="Switch runc and crun even if that orphans containers.")
@click.option("--live", is_flag=True, help="Then run `tighten --overlay` on running containers.")
@options.shows
def apply(  # noqa: PLR0913 - click gives each option as a parameter
    places: Places, *, only_check: bool, diff: bool, force: bool, live: bool, as_json: bool
) -> None:
    """Check the whole policy, compile it and put it in force for new containers.

    If there is any error, the policy in force stays in force. apply does not switch between runc
    and crun while containers of the current runtime exist.
    """
    if live and (only_check or diff or as_json):
        raise click.UsageError("--live changes containers: run `tighten`, which has these options")
    in_force = not (only_check or diff)
    with output.progress("Compiling the policy"):
        if in_force:
            compiled, remarks = apply_policy.put_in_force(places, orphans=force)
        else:
            compiled, remarks = apply_policy.check(places)
        if not in_force and not force:
            installed_programs.check_switch(places, compiled.policy["runtime"]["kind"])
    changes = _changes(places, compiled) if diff else None
    remarks = [*remarks, *apply_policy.notes(places, compiled)]
    if as_json:
        document = _document(compiled, changes)
        output.document({"in_force": in_force, **document, "remarks": remarks})
        return
    for line in [*_summary(compiled), *remarks, *_differences(compiled, changes)]:
        output.say(line)
    output.say("In force for new containers." if in_force else "Only checked: nothing was changed.")
    if live:
        click.get_current_context().invoke(tighten.tighten, overlay=True)


def _changes(places: Places, compiled: Compiled) -> list[DecisionChange]:
    """Return the containers that would change, without those that `tighten` made alike already."""
    entries, comparing = status.look(places).entries, deep_verify.Comparing(places.prefix)
    with output.progress("Deciding again") as meter:
        return [
            one
            for one in redecide.changes(compiled, meter.counting(entries))
            if one.entry.partly_laid
            or not (one.entry.laid and one.block and comparing.is_as_under(one.entry, one.block))
        ]


def _document(compiled: Compiled, changes: Sequence[DecisionChange] | None) -> dict[str, Any]:
    policy = compiled.policy
    settings = ("runtime", "on_error", "default", "runtime_default", "overlay")
    return {
        **{name: policy.get(name) for name in settings},
        "rules": [{name: rule.get(name) for name in _OF_RULE} for rule in policy["rules"]],
        "own_profiles": _own(compiled),
        "candidates": [pair._asdict() | vars(c) for pair, c in compiled.previews.items()],
        "narrowed": {name: list(calls) for name, calls in compiled.narrowed.items()},
        "changes": None if changes is None else [*map(_change, changes)],
    }


def _change(change: DecisionChange) -> dict[str, Any]:
    """Return a container, and the decision that it would get; `then` is None if it is refused."""
    found = status.as_document(change.entry)
    then = change.then and {name: getattr(change.then, name) for name in _OF_DECISION}
    return {**{name: found[name] for name in _OF_CHANGED}, "then": then, "refused": change.refused}


def _differences(compiled: Compiled, changes: Sequence[DecisionChange] | None) -> Iterator[str]:
    """Yield a line for each running container that this policy would decide differently."""
    if changes is None:
        return
    for change in changes:
        then, entry = change.then, change.entry
        now = f"{status.decided(then)}: {then.reason}" if then else f"refused ({change.refused})"
        yield f"{status.named(entry)}: {status.decided(entry.record)} -> {now}"
    for name, calls in compiled.narrowed.items():
        yield f"profile {name}: {narrowed_comparisons.sentence(calls)}"
    yield f"Running containers that would get a different filter or none: {len(changes)}"
    if changes:
        yield "`tighten --overlay` and `tighten --profile` add to them what is denied now."


def _summary(compiled: Compiled) -> Iterator[str]:
    policy = compiled.policy
    runtime = policy["runtime"]
    yield f"runtime          {runtime['path']} ({runtime['kind']} {runtime['version']})"
    yield f"on_error         {policy['on_error']}"
    yield f"default profile  {policy['default']['profile']} ({policy['default']['mode']})"
    if adopt := policy["default"].get("adopt"):
        yield f"adopt            {adopt}"
    for engine, profile in policy["runtime_default"].items():
        yield f"  called by {engine:<11} {profile}"
    yield f"own profiles     {', '.join(_own(compiled)) or 'none'}"
    for number, rule in enumerate(policy["rules"], 1):
        mode = rule.get("mode", policy["default"]["mode"])
        beside = f", candidate {rule['candidate']}" if "candidate" in rule else ""
        adopts = f", adopts {adopt}" if (adopt := rule.get("adopt")) else ""
        yield f"rule {number:<11} {rule['name']} ({mode}{adopts}{beside})"
    for pair, cost in compiled.previews.items():
        left = f"; not previewed: {', '.join(cost.left)}" if cost.left else ""
        denied = f"would deny {syscall_names.counted(cost.calls, unnamed=cost.unnamed)} more"
        if cost.uncounted:
            denied = f"what it would deny more is not counted, for {cost.uncounted}"
        yield (
            f"candidate        {pair.candidate} beside {pair.profile} ({pair.mode}): {denied}; the "
            f"filter has {cost.after} instructions, without it {cost.before}{left}"
        )
    if over := policy["overlay"]:
        families = [f"socket family {family}" for family in over["deny_sockets"]]
        yield f"overlay          denies {', '.join([*over['deny'], *families])}"


def _own(compiled: Compiled) -> list[str]:
    return [name for name in compiled.sources if name.startswith(LOCALHOST)]
