"""runc-wrapctl explain."""

from pathlib import Path

import click

from runc_wrap.cli import options, output
from runc_wrap.failure import Failure
from runc_wrap.hotpath import config_file, json_codec, policy_file
from runc_wrap.hotpath.decision import OWN_PROFILE
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node.container_state import kept_defaults, redecide
from runc_wrap.node.paths import Places
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.mode_profiles import modes
from runc_wrap.report import filter_conflicts

_SHOWN = ("action", "mode", "profile", "candidate", "recorded", "rule", "reason")


@click.command()
@click.argument("config", type=options.PATH)
@click.option("--handler", default=redecide.DEFAULT_HANDLER, help="How the runtime is called.")
@options.shows
def explain(places: Places, config: Path, handler: str, *, as_json: bool) -> None:
    """Print the decision for CONFIG, a config.json or a bundle that contains one.

    The bundle's path shows the calling engine if it is in an engine's own directory; otherwise the
    annotations do.
    """
    path = (config / "config.json" if config.is_dir() else config).absolute()
    try:
        policy = policy_file.load(str(places.prefix))
        record = redecide.last_of(places.ledger, str(path.parent))
        # a block that an earlier create through us injected does not count as the config's own
        text = config_file.read(str(path)).text
        outcome = redecide.decide_now(policy, str(path.parent), record, text=text, handler=handler)
        decision, facts, profile = outcome.decision, outcome.facts, None
        if decision.profile and decision.mode:
            profile = policy_file.load_profile(policy, decision.profile, decision.form)
        unshown = _unshown(text, facts.bounding)
    except Refusal as refusal:
        raise Failure(f"a create would be refused: {refusal}") from None
    known = kept_defaults.recognizer(places)
    brought = known.of_block(facts.seccomp, facts.who.engine, facts.bounding)
    if as_json:
        output.document({name: getattr(decision, name) for name in _SHOWN})
    else:
        what = f" {decision.profile} ({decision.mode})" if decision.action == "inject" else ""
        output.say(f"{decision.action}{what}: {decision.reason}")
        if decision.candidate and profile:
            left = ", ".join(profile.get("unpreviewed", ())) or "none"
            beside = f"The candidate {decision.candidate} is looked at beside it"
            output.say(f"{beside}, which stays enforced (calls not previewed: {left}).")
        if names := profile and profile.get("narrowed"):
            output.say(narrowed_comparisons.sentence(names))
        if decision.recorded:
            output.say(modes.RECORD_COST)
        if unshown and decision.profile:
            output.say(unshown)
        if brought and decision.declared == OWN_PROFILE:
            what = f"That profile is the engine's default, {brought}, call by call"
            output.say(f"{what}; with `adopt` the policy decides about it.")


def _unshown(text: bytes, bounding: frozenset[str]) -> str | None:
    """Return what any filter keeps this container from doing, None if nothing makes it likely."""
    config = json_codec.loads(text)
    process = config.get("process") if isinstance(config, dict) else None
    words = process.get("args") if isinstance(process, dict) else None
    programs = [one for one in words[:1] if isinstance(one, str)] if isinstance(words, list) else []
    return filter_conflicts.unshown(bounding, programs)
