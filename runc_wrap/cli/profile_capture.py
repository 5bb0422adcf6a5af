"""runc-wrapctl profile capture."""

import time
from dataclasses import replace
from pathlib import Path

import click

from runc_wrap.apply import apply_policy
from runc_wrap.cli import options, output
from runc_wrap.engines.capture import capture_run, capture_store
from runc_wrap.host import engine_names
from runc_wrap.node.paths import Places
from runc_wrap.policy import runtime_default
from runc_wrap.policy.compiler_facts import Facts
from runc_wrap.policy.runtime_default import TableDifference
from runc_wrap.profiles import engine_versions
from runc_wrap.profiles.captured_profile import CapturedProfile


@click.command()
@click.argument("engine", type=click.Choice([*engine_names.KNOWN]))
@click.option(
    "--socket", type=options.PATH, help="The engine's socket.  [default: where its client looks]"
)
@click.option("--config", type=options.PATH, help="The engine's, if it has several.")
@options.shows
def capture(
    places: Places, engine: str, socket: Path | None, config: Path | None, *, as_json: bool
) -> bool:
    """Ask an engine for its own default profile, compare it with the built-in one, and store it.

    The engine is asked for a container for each set of capabilities that matters. None is started:
    runc-wrap, which the engine calls, records the profile and refuses the container.

    The policy uses the stored profile with source = "captured" in [runtime_default].

    Exit status 1: it differs from the built-in profile of the engine's version.
    """
    started = time.monotonic()
    with output.progress(f"Asking {engine}") as meter:
        captured, blocks = capture_run.capture(places, engine, socket, meter, config)
    facts = _facts(captured)
    table = runtime_default.table_name(engine, facts)
    found = runtime_default.differences_from_table(captured, facts)
    where = capture_store.write(places, captured)
    if as_json:
        shown = {key: getattr(captured, key) for key in ("engine", "version", "time", "name")}
        differences = [one._asdict() for one in found]
        made = {"table": table, "differences": differences, "profile": captured.profile}
        output.document({**shown, "answers": len(blocks), **made})
    else:
        seconds = time.monotonic() - started
        output.say(f"{engine} {captured.version}: {len(blocks)} answers in {seconds:.1f} seconds")
        differs = f"differs from {table}:" if found else f"is {table}, rule for rule"
        output.say(f"its default {differs}")
        for one in found:
            output.say(f"  only {_whose(one)}: {one.rule}")
        output.say(f"stored as {captured.name} in {where}")
    return bool(found)


def _facts(captured: CapturedProfile) -> Facts:
    """Return this node's facts, with the engine that was asked, where there are several of it."""
    facts = apply_policy.facts_of_engines()
    if not captured.config:
        return facts
    asked = str(engine_versions.parse(captured.version))
    return replace(facts, engines={**facts.engines, captured.engine: asked})


def _whose(found: TableDifference) -> str:
    whose = "the engine's" if found.only == "captured" else "the built-in"
    if not found.capability:
        return whose
    return f"{whose}, with {'all capabilities' if found.capability == 'ALL' else found.capability}"
