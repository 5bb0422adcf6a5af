"""`python -m bench`: measure, print the table.

Runs as root in a private mount namespace, whose cgroups crun accepts; what it
installs, mounts and starts is gone at its end, also after Ctrl-C.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator

from bench import fleet, measures, places, rows
from bench.measures import Plan
from bench.places import Places
from bench.rows import Row
from harness import measurement
from harness.host.namespaces import UNIFIED
from harness.host.processes import environment

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
        parts = [options.only] if options.only else PARTS
        found = [row for part in parts for row in PARTS[part](place, plan)]
    print(f"\n{rows.table(found)}\n\n{rows.NOTE}", flush=True)  # noqa: T201 - for a person
    return int(any(row.verdict == rows.NOT_MET for row in found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="What does runc-wrap cost?")
    parser.add_argument("--rounds", type=int, default=200, help="of each that has a bound")
    parser.add_argument("--bursts", type=int, default=6, help="rounds of 100 creates at once")
    parser.add_argument("--seed", type=int, default=4, help="of the order within a round")
    parser.add_argument("--only", choices=PARTS, help="these rows and no other")
    return parser.parse_args()


def _enter_namespace() -> None:
    """Restart in a private mount namespace, without the hierarchy that crun refuses."""
    if INSIDE in os.environ:
        return
    inner = f'mountpoint -q {UNIFIED} && umount {UNIFIED}; exec "$@"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inner, "sh"]
    again = [*words, sys.executable, "-m", "bench", *sys.argv[1:]]
    os.execvpe(again[0], again, {**environment(), INSIDE: "1"})  # noqa: S606 - no shell is wanted


def _commands(place: Places, plan: Plan) -> Iterator[Row]:
    for runtime in places.RUNTIMES:
        found = measures.commands(place, runtime, plan)
        yield rows.untouched(runtime, found)
        if "create" in found:
            yield from rows.creates(found["create"])


def _before_nothing(place: Places, plan: Plan) -> Iterator[Row]:
    yield from rows.alone(measures.alone(place, plan))
    yield rows.passed_on(measures.passed_on(place, plan))


def _at_once(place: Places, plan: Plan) -> Iterator[Row]:
    found = measures.bursts(place, plan)
    decided = measurement.decided(place.installed["runc-agent"], "bench-runc-agent-")
    yield rows.at_once(found, decided)


def _fleet(_place: Places, _plan: Plan) -> Iterator[Row]:
    yield from rows.fleet(fleet.measured())


PARTS: dict[str, Callable[[Places, Plan], Iterator[Row]]] = {
    "commands": _commands,
    "nothing": _before_nothing,
    "at-once": _at_once,
    "fleet": _fleet,
}

if __name__ == "__main__":
    sys.exit(main())
