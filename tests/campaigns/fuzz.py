"""Coverage-guided fuzzing of everything that reads foreign bytes (atheris, which is libFuzzer).

Each target has its own process.
"""

import os
import re
import subprocess
import sys
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
