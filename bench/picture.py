"""`python -m bench.picture FILE`: where the time of one cold create goes, as SVG.

Each create runs under `strace -ttt` up to the exec of the runtime (which is /bin/true here), and
the milestones are system calls that can be recognised. strace slows all of them down, so the
lengths of the bars are shares: they are scaled to the median of the same create without strace.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from harness.containers import bundles
from harness.host.processes import environment, short_directory
from harness.measure.timing import timed
from harness.node import install

if TYPE_CHECKING:
    from harness.containers.bundles import Bundle
    from harness.node.install import Installed

RUNS = 15
WIDTH, ROW, LEFT = 900, 26, 250
COLOURS = ("#54a24b", "#4c78a8", "#4c78a8", "#9ecae9", "#f58518", "#e45756", "#b279a2", "#b279a2")
# The step that a line like this ends; the last is the exec of the runtime.
MILESTONES = (
    ("launcher", r"execve\(.*python"),
    ("CPython: linking, core", r"pyvenv\.cfg|encodings"),
    ("CPython: paths, encodings, signals, stdio", r'open(at)?\(.*cold\.py"'),
    ("cold.py: read and compiled", r"openat\(.*hotpath\.packed"),
    ("modules: unpacked and executed", r'openat\(.*/orjson[^"]*\.so"'),
    ("orjson: linked and initialised", r"readlink\(.*policy\.\d+/current"),
    ("policy, config, decision, new config", r"openat\(.*ledger\.jsonl"),
    ("ledger, exec of the runtime", r'execve\("/usr/bin/true"|execve\("/bin/true"'),
)


@dataclass(frozen=True)
class Step:
    """One bar: the step, its duration and its begin in ms."""

    name: str
    begin: float
    length: float
    calls: int


def main() -> None:
    """Measure and write the picture."""
    with short_directory("picture") as directory:
        installed = install.install(directory / "prefix")
        install.use_runtime(installed, "/bin/true")
        bundle = bundles.make(directory / "bundle", "runc")
        text = bundle.config.read_bytes()
        traces, plain = [], []
        for _ in range(RUNS):
            bundle.config.write_bytes(text)
            plain.append(timed(_words(installed, bundle)).seconds * 1e3)
            bundle.config.write_bytes(text)
            traces.append(_traced(_words(installed, bundle), directory / "trace"))
    Path(sys.argv[1]).write_text(svg(steps(traces, statistics.median(plain))))


def _words(installed: Installed, bundle: Bundle) -> list[str]:
    place = str(bundle.path)
    return [str(installed.wrapper), "--root", place, "create", "--bundle", place, "picture"]


def _traced(words: list[str], output: Path) -> list[str]:
    strace = ["strace", "-ttt", "-s", "300", "-o", str(output), *words]
    subprocess.run(strace, check=True, env=environment(), timeout=60)
    return output.read_text().splitlines()


def milestones(trace: list[str]) -> list[int]:
    """Return the line number at which each step ends. Raises ValueError if one never does."""
    found, start = [], 0
    for name, pattern in MILESTONES:
        lines = range(start + 1, len(trace))
        start = next((line for line in lines if re.search(pattern, trace[line])), 0)
        if not start:
            raise ValueError(f"the trace has no end of {name}: {pattern}")
        found.append(start)
    return found


def steps(traces: list[list[str]], whole: float) -> list[Step]:
    """Return the median share of each step, scaled to `whole` ms."""
    ends = [milestones(trace) for trace in traces]
    times = [
        [_time(trace[line]) - _time(trace[0]) for line in found]
        for trace, found in zip(traces, ends, strict=True)
    ]
    shares = [statistics.median(one[n] / one[-1] for one in times) for n in range(len(MILESTONES))]
    begins = [0.0, *shares]
    lines = [0, *(int(statistics.median(one[n] for one in ends)) for n in range(len(MILESTONES)))]
    return [
        Step(name, begins[n] * whole, (shares[n] - begins[n]) * whole, lines[n + 1] - lines[n])
        for n, (name, _) in enumerate(MILESTONES)
    ]


def _time(line: str) -> float:
    return float(line.split(maxsplit=1)[0])


def svg(found: list[Step]) -> str:
    """Return the picture: one bar per step, each beginning where the one above ends."""
    whole = found[-1].begin + found[-1].length
    scale = (WIDTH - LEFT - 170) / whole
    height = ROW * (len(found) + 3)
    note = (
        f"Medians of {RUNS} runs; shares under strace, scaled to the time without it. "
        "/bin/true stands in for the runtime."
    )
    bars = [_bar(step, row, scale) for row, step in enumerate(found)]
    title = f"One cold create up to the exec of the runtime: {whole:.1f} ms"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"',
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            f'<text x="12" y="24" font-size="15">{escape(title)}</text>',
            *bars,
            f'<text x="12" y="{height - 14}" fill="#666">{note}</text>',
            "</svg>\n",
        ]
    )


def _bar(step: Step, row: int, scale: float) -> str:
    top = ROW * (row + 1.5)
    x = LEFT + step.begin * scale
    width = max(step.length * scale, 1)
    label = f"{step.length:.2f} ms, {step.calls} system calls"
    return (
        f'<text x="12" y="{top + 16}">{escape(step.name)}</text>'
        f'<rect x="{x:.1f}" y="{top + 3}" width="{width:.1f}" height="{ROW - 7}" '
        f'fill="{COLOURS[row]}"/>'
        f'<text x="{x + width + 5:.1f}" y="{top + 16}" fill="#444">{label}</text>'
    )


if __name__ == "__main__":
    main()
