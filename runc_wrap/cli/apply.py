"""runc-wrapctl apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runc_wrap.cli import output
from runc_wrap.node import facts
from runc_wrap.node.programs import RuntimeNotUsable
from runc_wrap.policy import checking, compiling, source, store
from runc_wrap.policy.source import PolicyError
from runc_wrap.profiles.model import ProfileError

if TYPE_CHECKING:
    from runc_wrap.node.places import Places


@click.command()
@click.pass_obj
def apply(places: Places) -> None:
    """Check the policy as a whole, compile it and put it in force, for the next container on.

    If anything is wrong, nothing changes: the policy in force stays in force.
    """
    try:
        values = source.read(places.config, places.config_directory)
        node = facts.gather(places, list(values["runtime"]))
        compiled = compiling.compile_policy(values, node)
        remarks = checking.check(compiled, node)
        store.put_in_force(compiled, places.var)
    except (PolicyError, ProfileError, RuntimeNotUsable, OSError) as error:
        output.fail(error)
    policy = compiled.policy
    output.say(f"runtime          {node.runtime_path} ({node.runtime_kind} {node.runtime_version})")
    output.say(f"on_error         {policy['on_error']}")
    output.say(f"default profile  {policy['default']['profile']}")
    for engine, profile in policy["runtime_default"].items():
        output.say(f"  called by {engine:<11} {profile}")
    own = [name for name in compiled.profiles if name.startswith("localhost/")]
    output.say(f"own profiles     {', '.join(own) or 'none'}")
    for remark in remarks:
        output.say(remark)
