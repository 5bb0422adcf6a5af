"""`python -m bench`: measure, print the table, write bench.json.

Runs as root in a private mount namespace, whose cgroups crun accepts; what it
installs, mounts and starts is gone at its end, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import evidence, fleet, measures, places, report, rows
from harness.host.namespaces import UNIFIED
from harness.host.processes import environment
from harness.measure import agents

INSIDE = "RUNC_WRAP_BENCH_INSIDE"


def main() -> int:
    """Measure; exit status 1 if a bound is not met."""
    options = _options()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, as the runtimes do")
    _enter_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = measures.Plan(options.rounds, options.bursts, options.seed)
    with places.prepared() as place:
        if options.only:
            _say(report.table(_only(place, plan, options.only)))
            return 0
        measured = _measure(place, plan)
    found = rows.rows(measured)
    _say(f"\n{report.table(found)}\n\n{report.NOTE}")
    options.out.mkdir(parents=True, exist_ok=True)
    _write(options.out / "bench.json", measured, found, options)
    return int(any(row.verdict == rows.NOT_MET for row in found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="What does runc-wrap cost?")
    parser.add_argument("--rounds", type=int, default=200, help="of each that has a bound")
    parser.add_argument("--bursts", type=int, default=6, help="rounds of 100 creates at once")
    parser.add_argument("--seed", type=int, default=4, help="of the order within a round")
    parser.add_argument(
        "--only",
        choices=("nothing", "archive", "evidence", "fleet"),
        help="these rows and no other",
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="for the JSON")
    return parser.parse_args()


def _enter_namespace() -> None:
    """Restart in a private mount namespace, without the hierarchy that crun refuses."""
    if INSIDE in os.environ:
        return
    inner = f'mountpoint -q {UNIFIED} && umount {UNIFIED}; exec "$@"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inner, "sh"]
    again = [*words, sys.executable, "-m", "bench", *sys.argv[1:]]
    os.execvpe(again[0], again, {**environment(), INSIDE: "1"})  # noqa: S606 - no shell is wanted


def _only(place: places.Places, plan: measures.Plan, what: str) -> list[rows.Row]:
    """Measure with a runtime that does nothing, the archive, evidence, or a fleet's report."""
    if what == "fleet":
        return rows.fleet(fleet.measured())
    if what == "nothing":
        found = rows.alone(measures.alone(place, plan))
        return [*found, rows.passed_on(measures.passed_on(place, plan))]
    if what == "archive":
        archived = rows.archived(measures.archived(place, plan))
        return [archived, rows.archive_size(place.archive_size)]
    place.stop_agents()
    return rows.evidence(evidence.measured(place, plan.seed))


def _measure(place: places.Places, plan: measures.Plan) -> rows.Measured:
    commands = {}
    for runtime in places.RUNTIMES:
        _say(f"{runtime}: create, state, exec")
        commands[runtime] = measures.commands(place, runtime, plan)
    alone = measures.alone(place, plan)
    passed_on = measures.passed_on(place, plan)
    archived = measures.archived(place, plan)
    _say(f"{measures.AT_ONCE} creates at once")
    bursts = measures.bursts(place, plan)
    _say(f"the agent at rest, and after {measures.MANY} creates more: some minutes")
    decided = agents.decided(place.installed["runc-agent"], "bench-runc-agent-")
    rest = measures.rest(place)
    place.stop_agents()
    _say("what a denied call costs")
    return rows.Measured(
        commands=commands,
        alone=alone,
        passed_on=passed_on,
        archived=archived,
        archive_size=place.archive_size,
        bursts=bursts,
        decided=decided,
        rest=rest,
        evidence=evidence.measured(place, plan.seed),
        fleet=fleet.measured(),
    )


def _write(
    path: Path, measured: rows.Measured, found: list[rows.Row], options: argparse.Namespace
) -> None:
    """Write all measurements, so that they can be evaluated differently later."""
    document = {
        "machine": _machine(),
        "rounds": options.rounds,
        "seed": options.seed,
        "rows": [dataclasses.asdict(row) for row in found],
        **dataclasses.asdict(measured),
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    _say(f"\nall figures: {path}")


def _machine() -> dict[str, Any]:
    def version(name: str) -> str:
        done = subprocess.run([name, "--version"], capture_output=True, text=True, check=True)
        return done.stdout.partition("\n")[0]

    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "python": platform.python_version(),
        "runtimes": [version(runtime) for runtime in places.RUNTIMES],
    }


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the bench prints for a person


if __name__ == "__main__":
    sys.exit(main())
