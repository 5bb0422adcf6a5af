"""Medians with their intervals, and comparisons within one round.

A round measures every variant once, shortly after one another: other load on the machine affects
all of them equally, so ratios and differences are taken within a round and only then summed up.
"""

import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

PAUSE = 0.05  # seconds
WARM_UP = 2  # rounds
Rounds = list[dict[str, float]]  # one round: variant -> seconds


@dataclass(frozen=True)
class Summary:
    """A sample's median with its interval, in the unit of the sample."""

    low: float
    median: float
    high: float
    count: int


def sure(values: Sequence[float]) -> Summary:
    """Return the median with the ends of its 95 % confidence interval.

    By ranks: the true median lies between these two in 19 of 20 samples of six or more, whatever
    the distribution, as long as the machine does not drift.
    """
    ordered = sorted(values)
    away = 0.98 * math.sqrt(len(ordered))
    low = max(math.floor(len(ordered) / 2 - away), 0)
    high = min(math.ceil(len(ordered) / 2 + away), len(ordered) - 1)
    return Summary(ordered[low], statistics.median(ordered), ordered[high], len(ordered))


def ratios(rounds: Rounds, variant: str, base: str) -> list[float]:
    """Return variant / base of each round."""
    return [one[variant] / one[base] for one in rounds]


def differences(rounds: Rounds, variant: str, base: str) -> list[float]:
    """Return variant - base of each round, in seconds."""
    return [one[variant] - one[base] for one in rounds]


def column(rounds: Rounds, variant: str) -> list[float]:
    """Return one variant's seconds."""
    return [one[variant] for one in rounds]


def orders(names: Sequence[str], count: int, seed: int) -> Iterator[list[str]]:
    """Yield the order of each round: the same for the same seed, and no variant always first."""
    generator = random.Random(seed)  # noqa: S311 - an order of measuring, no secret
    for _ in range(count):
        order = list(names)
        generator.shuffle(order)
        yield order


def interleaved(
    measures: Mapping[str, Callable[[], float]], count: int, seed: int, pause: float = PAUSE
) -> Rounds:
    """Measure each variant once a round. The first rounds, which fill caches, do not count.

    Each begins after a pause, in seconds. A process that is moved into a cgroup waits for an RCU
    grace period (10 to 20 ms), unless another was moved just before (linux
    kernel/rcu/sync.c): without the pause the faster variant would not wait, and the slower one
    would.
    """

    def rested(name: str) -> float:
        time.sleep(pause)
        return measures[name]()

    rounds = [
        {name: rested(name) for name in order}
        for order in orders(list(measures), WARM_UP + count, seed)
    ]
    return rounds[WARM_UP:]
