"""runc-wrapctl apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runc_wrap.cli import output, progress, status
from runc_wrap.node import apply_policy, redecide, runtime_switch
from runc_wrap.profiles.arguments import narrowed_comparisons

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.hotpath.decision import Decision
    from runc_wrap.node.paths import Places
    from runc_wrap.policy.policy_compiler import Compiled


_NOT_IN_FORCE = "Only checked: nothing was changed."


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Check only; change nothing.")
@click.option(
    "--diff", is_flag=True, help="Check only, and name the running containers that would change."
)
@click.option(
    "--force", is_flag=True, help="Switch between runc and crun even if that orphans containers."
)
@click.pass_obj
def apply(places: Places, *, only_check: bool, diff: bool, force: bool) -> None:
    """Check the whole policy, compile it and put it in force for new containers.

    If there is any error, the policy in force stays in force. apply does not switch between runc
    and crun while containers of the current runtime exist.
    """
    try:
        with progress.shown("Compiling the policy"):
            if only_check or diff:
                compiled, remarks = _checked(places, orphans=force)
            else:
                compiled, remarks = apply_policy.put_in_force(places, orphans=force)
    except apply_policy.FAILURES as error:
        output.fail(error)
    for line in [*_summary(compiled), *remarks]:
        output.say(line)
    if diff:
        for line in _differences(places, compiled):
            output.say(line)
    output.say(_NOT_IN_FORCE if only_check or diff else "In force for new containers.")


def _checked(places: Places, *, orphans: bool) -> tuple[Compiled, list[str]]:
    compiled, remarks = apply_policy.check(places)
    if not orphans:
        runtime_switch.check(places, compiled.policy["runtime"]["kind"])
    return compiled, remarks


def _differences(places: Places, compiled: Compiled) -> Iterator[str]:
    """Yield a line for each running container that this policy would decide differently."""
    changes = list(redecide.changes(compiled, status.look(places).entries))
    for change in changes:
        then = change.then
        now = f"refused ({change.refused})" if then is None else _words(then)
        yield f"{status.named(change.entry)}: {status.decided(change.entry)} -> {now}"
    for name, calls in compiled.narrowed.items():
        yield f"profile {name}: {narrowed_comparisons.sentence(calls)}"
    yield f"Running containers that would get a different filter or none: {len(changes)}"


def _words(then: Decision) -> str:
    decided = f"{then.profile} ({then.mode})" if then.action == "inject" else then.action
    return f"{decided}: {then.reason}"


def _summary(compiled: Compiled) -> Iterator[str]:
    policy = compiled.policy
    runtime = policy["runtime"]
    yield f"runtime          {runtime['path']} ({runtime['kind']} {runtime['version']})"
    yield f"on_error         {policy['on_error']}"
    yield f"default profile  {policy['default']['profile']} ({policy['default']['mode']})"
    for engine, profile in policy["runtime_default"].items():
        yield f"  called by {engine:<11} {profile}"
    own = [name for name in compiled.sources if name.startswith("localhost/")]
    yield f"own profiles     {', '.join(own) or 'none'}"
    for number, rule in enumerate(policy["rules"], 1):
        yield f"rule {number:<11} {rule['name']} ({rule.get('mode', policy['default']['mode'])})"
    if over := policy["overlay"]:
        families = [f"socket family {family}" for family in over["deny_sockets"]]
        yield f"overlay          denies {', '.join([*over['deny'], *families])}"
