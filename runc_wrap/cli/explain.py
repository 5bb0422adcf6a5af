"""runc-wrapctl explain."""

from pathlib import Path

import click

from runc_wrap.cli import output
from runc_wrap.failure import Failure
from runc_wrap.hotpath import config_file, create_facts, json_codec, policy_file
from runc_wrap.hotpath.compiled_policy import CompiledProfile
from runc_wrap.hotpath.decision import ADOPT, OWN_PROFILE, Decision
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node.container_state import default_recognition, redecide
from runc_wrap.node.paths import Places
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.mode_profiles import modes
from runc_wrap.report import filter_conflicts

_SHOWN = ("action", "mode", "profile", "candidate", "recorded", "rule", "reason")
_VERBS = {"inject": "inject {profile} ({mode})", "keep": "keep", "leave": "leave"}


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--handler", default=redecide.DEFAULT_HANDLER, help="The name by which the runtime is called."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def explain(places: Places, config: Path, handler: str, *, as_json: bool) -> None:
    """Print the decision for CONFIG, a config.json or a bundle that contains one.

    The bundle's path shows the calling engine if it is in an engine's own directory; otherwise the
    annotations do.
    """
    path = config / "config.json" if config.is_dir() else config
    try:
        decision, profile, brought = _decision(places, path.absolute(), handler)
        unshown = _unshown(path)
    except Refusal as refusal:
        raise Failure(f"a create would be refused: {refusal}") from None
    if as_json:
        output.document({name: getattr(decision, name) for name in _SHOWN})
    else:
        verb = _VERBS[decision.action].format(profile=decision.profile, mode=decision.mode)
        output.say(f"{verb}: {decision.reason}")
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
            output.say(
                f"That profile is the engine's default, {brought}, call by call; with "
                f'adopt = "{ADOPT}" the policy decides about it.'
            )


def _decision(
    places: Places, path: Path, handler: str
) -> tuple[Decision, CompiledProfile | None, str]:
    """Decide, and return the profile if there is one, and the engine's default if it is kept.

    A seccomp block that an earlier create through us injected does not count as the config's own.
    """
    policy = policy_file.load(str(places.prefix))
    record = redecide.last_of(places.ledger, str(path.parent))
    text = config_file.read(str(path)).text
    outcome = redecide.decide_now(policy, str(path.parent), record, text=text, handler=handler)
    decision, facts, profile = outcome.decision, outcome.facts, None
    if decision.profile and decision.mode:
        profile = policy_file.load_profile(policy, decision.profile, decision.form)
    known = default_recognition.recognizer(places)
    return decision, profile, known.of_block(facts.seccomp, facts.who.engine, facts.bounding)


def _unshown(path: Path) -> str | None:
    """Return what any filter keeps this container from doing, None if nothing makes it likely."""
    config = json_codec.loads(config_file.read(str(path)).text)
    process = config.get("process") if isinstance(config, dict) else None
    words = process.get("args") if isinstance(process, dict) else None
    programs = [one for one in words[:1] if isinstance(one, str)] if isinstance(words, list) else []
    return filter_conflicts.unshown(create_facts.bounding(config), programs)
