"""The picture: every command in every way, and how a create grows with config.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from harness.measure import numbers

mpl.use("svg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from harness.measure.numbers import Rounds

COLOURS = {"bare": "#7f7f7f", "shell": "#c7a76c", "cold": "#4c78a8", "agent": "#54a24b"}
NAMES = {
    "bare": "bare runtime",
    "shell": "shell wrapper that does nothing",
    "cold": "runc-wrap, no agent",
    "agent": "runc-wrap, agent running",
}


def draw(
    path: Path, commands: dict[str, dict[str, Rounds]], sizes: dict[int, Rounds], title: str
) -> None:
    """Write the picture as SVG, the same bytes for the same figures."""
    mpl.rcParams.update({"svg.hashsalt": "runc-wrap", "font.size": 9})
    figure, axes = plt.subplots(1, len(commands) + 1, figsize=(13, 4.6), layout="constrained")
    for axis, (runtime, measured) in zip(axes, commands.items(), strict=False):
        _bars(axis, runtime, measured)
    _growth(axes[-1], sizes)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _bars(axis: Any, runtime: str, commands: dict[str, Rounds]) -> None:  # noqa: ANN401 - matplotlib
    ways = [way for way in COLOURS if way in next(iter(commands.values()))[0]]
    width = 0.8 / len(ways)
    for number, way in enumerate(ways):
        found = [numbers.summary(numbers.column(rounds, way)) for rounds in commands.values()]
        heights = [one.median * 1e3 for one in found]
        errors = [
            [(one.median - one.low) * 1e3 for one in found],
            [(one.high - one.median) * 1e3 for one in found],
        ]
        places = [place + (number - (len(ways) - 1) / 2) * width for place in range(len(found))]
        bars = axis.bar(
            places, heights, width, yerr=errors, color=COLOURS[way], label=NAMES[way], capsize=2,
            error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
        )  # fmt: skip
        axis.bar_label(bars, fmt="%.1f", fontsize=6, padding=1)
    axis.set_xticks(range(len(commands)), list(commands))
    axis.set_title(f"{runtime}: one call, median and quartiles")
    axis.set_ylabel("ms")
    _plain(axis)


def _growth(axis: Any, sizes: dict[int, Rounds]) -> None:  # noqa: ANN401 - matplotlib
    for way in (way for way in COLOURS if way in next(iter(sizes.values()))[0]):
        medians = [
            numbers.summary(numbers.column(rounds, way)).median * 1e3 for rounds in sizes.values()
        ]
        axis.plot([size / 2**20 for size in sizes], medians, "o-", color=COLOURS[way])
    axis.set_title("runc: create, by size of config.json")
    axis.set_xlabel("MB")
    axis.set_ylabel("ms")
    axis.set_ylim(bottom=0)
    _plain(axis)


def _plain(axis: Any) -> None:  # noqa: ANN401 - matplotlib
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
