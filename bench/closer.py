"""`python -m bench.closer`: the rows that noise leaves undecided, with many rounds of nothing else.

A create takes some 50 ms and varies by 4; whether 1 ms was added shows in the median of many rounds
only. Printed are medians with their 95 % confidence intervals; nothing is judged.
"""

from __future__ import annotations

import sys
from functools import partial

from bench import measures, numbers, places, rows
from bench.__main__ import enter_namespace

ROUNDS = 160
WAYS = ("bare", "cold", "agent", "kernel")


def main() -> None:
    """Measure and print."""
    enter_namespace("bench.closer")
    with places.prepared() as place:
        subjects = {way: place.subjects[f"runc/{way}"] for way in WAYS}
        for subject in subjects.values():
            subject.start()
        rounds = {
            command: numbers.interleaved(
                {way: partial(measures.COMMANDS[command], one) for way, one in subjects.items()},
                ROUNDS,
                seed=7,
            )
            for command in ("create", "state", "exec")
        }
        for subject in subjects.values():
            subject.stop()
    create = rounds["create"]
    _say("create, agent: added ms", numbers.differences(create, "agent", "bare"), 1e3)
    _say("create, no agent: times bare", numbers.ratios(create, "cold", "bare"))
    _say("create, abis = kernel, agent: times bare", numbers.ratios(create, "kernel", "bare"))
    for command in rows.UNTOUCHED:
        _say(f"{command}: added ms", numbers.differences(rounds[command], "agent", "bare"), 1e3)


def _say(what: str, values: list[float], unit: float = 1.0) -> None:
    found = numbers.sure([value * unit for value in values])
    sys.stdout.write(f"{what:42} {found.median:.3f} [{found.low:.3f} {found.high:.3f}]\n")


if __name__ == "__main__":
    main()
