"""Coverage-guided fuzzing of everything that reads foreign bytes (atheris, which is libFuzzer).

    python -m tests.campaigns.fuzz --seconds 3600 [--runs N] [--seed N] [TARGET ...]

Each target has its own process and that much time, two of them at once. Corpus and crashes are in
build/fuzz/TARGET; the repr of each crashing input is printed. Exit status 1 if there was a crash.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.host.processes import run
from harness.node.requirements import program
from tests.campaigns.seeds import SEEDS

SECONDS_EACH = 10  # that one input may take
MEGABYTES = 1024
LONGEST = 16 * 1024  # bytes of an input
_EXECUTED = re.compile(r"^(?:Done|#)\s?(\d+)", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")
_PROCESS = (sys.executable, "-m", "tests.campaigns.fuzz_one")
_SOURCES = "/usr/share/gocode"  # where Debian's packages put Go's


@dataclass(frozen=True)
class Found:
    """The result of fuzzing one target: inputs tried, code covered, inputs that crashed it."""

    target: str
    tried: int
    covered: int
    crashes: list[bytes]
    told: str


def decoder(directory: Path) -> Path:
    """Build decoded.go with Debian's runtime-spec."""
    made = directory / "decoded"
    environment = {**os.environ, "GOPATH": _SOURCES, "GO111MODULE": "off"}
    environment |= {"GOCACHE": str(directory / "go"), "GOFLAGS": "", "HOME": str(directory)}
    source = Path(__file__).with_name("decoded.go")
    run([program("go"), "build", "-o", made, source], env=environment, seconds=300)
    return made


def fuzzed(target: str, directory: Path, flags: list[str], decoder_path: Path) -> Found:
    """Fuzz one target in its own process until its time or its runs are over."""
    place = directory / target
    corpus = place / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-timeout={SECONDS_EACH}", f"-rss_limit_mb={MEGABYTES}", f"-max_len={LONGEST}"]
    done = subprocess.run(
        [*_PROCESS, target, corpus, f"-artifact_prefix={place}/", *limits, *flags],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "RUNC_WRAP_DECODER": str(decoder_path)},
    )
    crashes = [
        path.read_bytes()
        for kind in ("crash-*", "timeout-*", "oom-*", "slow-unit-*")
        for path in place.glob(kind)
    ]
    if done.returncode and not crashes:
        crashes = [b"(the process ended by itself)"]
    tried = max(map(int, _EXECUTED.findall(done.stderr)), default=0)
    covered = max(map(int, _COVERED.findall(done.stderr)), default=0)
    return Found(target, tried, covered, crashes, done.stdout[-2000:] + done.stderr[-2000:])


def campaign(
    targets: list[str], directory: Path, flags: list[str], at_once: int = 2
) -> list[Found]:
    """Fuzz these targets, and print each result."""
    directory.mkdir(parents=True, exist_ok=True)
    program_path = decoder(directory)
    with ThreadPoolExecutor(at_once) as workers:

        def one(target: str) -> Found:
            found = fuzzed(target, directory, flags, program_path)
            print(f"{target}: {found.tried} inputs, cov {found.covered}", flush=True)  # noqa: T201 - a command's output
            for crash in found.crashes:
                print(f"  CRASH {crash[:2000]!r}\n{found.told}", flush=True)  # noqa: T201 - likewise
            return found

        return list(workers.map(one, targets))


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("targets", nargs="*", default=[*SEEDS])
    words = parser.parse_args()
    flags = [f"-max_total_time={words.seconds}", f"-runs={words.runs}", f"-seed={words.seed}"]
    found = campaign(words.targets or [*SEEDS], Path("build/fuzz").absolute(), flags)
    return 1 if any(one.crashes for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
