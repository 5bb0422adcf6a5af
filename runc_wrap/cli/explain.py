"""runc-wrapctl explain."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runc_wrap.cli import output
from runc_wrap.hotpath import bundle, caller, main, policy
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.decide import Decision, Node, checked_annotations, decide
from runc_wrap.hotpath.failure import Refusal

if TYPE_CHECKING:
    from runc_wrap.node.places import Places

_VERBS = {"inject": "inject {profile} ({mode})", "keep": "keep", "leave": "leave"}


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--handler", default="runc-wrap", help="The name that the runtime is called by.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def explain(places: Places, config: Path, handler: str, *, as_json: bool) -> None:
    """Say what is decided for CONFIG, a config.json or the bundle that holds one.

    A bundle at an engine's own place tells which engine calls; for a copy elsewhere, the
    annotations in it tell.
    """
    path = config / "config.json" if config.is_dir() else config
    try:
        decision = _decision(places, path.absolute(), handler)
    except Refusal as refusal:
        raise output.Failure(f"a create would be refused: {refusal}") from None
    if as_json:
        output.document(_as_json(decision))
    else:
        verb = _VERBS[decision.action].format(profile=decision.profile, mode=decision.mode)
        output.say(f"{verb}: {decision.reason}")


def _decision(places: Places, path: Path, handler: str) -> Decision:
    prefix = str(places.prefix)
    compiled = policy.load(prefix)
    config = main.parsed(bundle.read(str(path)).text)
    called = Invocation("create", {"bundle": str(path.parent)}, path.parent.name)
    who = caller.identify(called, checked_annotations(config), handler)
    node = Node(compiled["runtime"]["kind"], main.own_capabilities, time.time())
    decision = decide(config, who, compiled, node)
    main.final_block(compiled, config, decision)
    return decision


def _as_json(decision: Decision) -> dict[str, Any]:
    return {
        "action": decision.action,
        "mode": decision.mode,
        "profile": decision.profile,
        "rule": decision.rule,
        "reason": decision.reason,
    }
