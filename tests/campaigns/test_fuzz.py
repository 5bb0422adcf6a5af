"""Fuzzed input, an hour of it by `make campaign-fuzz`; and that the oracles detect defects.

Fuzzing is guided by coverage (atheris, which is libFuzzer), each target in its own process. A
campaign's corpus and crashes are in build/fuzz/TARGET.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.host.processes import run
from harness.node.requirements import machine, program, requires, unmet
from runc_wrap.hotpath import block_equivalence, json_ambiguity, splice
from tests.campaigns import targets
from tests.campaigns.seeds import SEEDS

_SECONDS_EACH = 10  # that one input may take
_MEGABYTES = 1024
_LONGEST = 16 * 1024  # bytes of an input
_EXECUTED = re.compile(r"^(?:Done|#)\s?(\d+)", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")
_PROCESS = (sys.executable, "-m", "tests.campaigns.fuzz_one")
_SOURCES = "/usr/share/gocode"  # where Debian's packages put Go's
RUNS = 2000
SECONDS = os.environ.get("RUNC_WRAP_TEST_FUZZ", "")  # for each target, instead of RUNS


@dataclass(frozen=True)
class _Found:
    """Of one target: inputs tried, code covered, inputs that crashed it, what was printed."""

    tried: int
    covered: int
    crashes: list[bytes]
    told: str


def _fuzzed(target: str, directory: Path, flags: list[str], decoder_path: Path) -> _Found:
    """Fuzz one target in its own process until its time or its runs are over."""
    place = directory / target
    corpus = place / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-timeout={_SECONDS_EACH}", f"-rss_limit_mb={_MEGABYTES}", f"-max_len={_LONGEST}"]
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
    return _Found(tried, covered, crashes, done.stdout[-2000:] + done.stderr[-2000:])


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """decoded.go, built with Debian's runtime-spec."""
    requires("go", f"{_SOURCES}/src/github.com/opencontainers/runtime-spec")
    directory = tmp_path_factory.mktemp("decoder")
    environment = {**os.environ, "GOPATH": _SOURCES, "GO111MODULE": "off"}
    environment |= {"GOCACHE": str(directory / "go"), "GOFLAGS": "", "HOME": str(directory)}
    source = Path(__file__).with_name("decoded.go")
    made = directory / "decoded"
    run([program("go"), "build", "-o", made, source], env=environment, seconds=300)
    return made


@pytest.mark.parametrize("target", targets.TARGETS)
def test_no_fuzzed_input_is_read_wrongly(target: str, tmp_path: Path, decoder: Path) -> None:
    machine("x86_64")
    if find_spec("atheris") is None:
        unmet("needs atheris, which pyproject.toml pins for Python 3.13")
    flags = [f"-max_total_time={SECONDS}"] if SECONDS else [f"-runs={RUNS}", "-seed=1"]
    place = Path("build/fuzz").absolute() if SECONDS else tmp_path
    found = _fuzzed(target, place, flags, decoder)
    assert found.crashes == [], found.told
    assert found.tried >= RUNS, found.told
    assert found.covered > 0


def test_every_target_has_seeds_it_accepts(decoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(targets.DECODER, str(decoder))
    assert targets.TARGETS.keys() == SEEDS.keys()
    for target, check in targets.TARGETS.items():
        for seed in SEEDS[target]:
            check(seed)


def _nothing(*_: object) -> None:
    """Do nothing."""


def _careless(text: bytes, _: object, block: object) -> bytes:
    return text.replace(b"{}", json.dumps({"seccomp": block, "sysctl": {"a": "b"}}).encode(), 1)


OWN = json.dumps({"seccomp": targets.BLOCK})
OTHER = OWN.replace('"action"', '"errnoret": 2, "action"')  # Go takes any case
PLANTED: dict[str, tuple[object, str, Callable[..., object], str]] = {
    "a key twice": (json_ambiguity, "check_twice", _nothing, f'{{"linux":{OWN},"linux":{{}}}}'),
    "another case": (json_ambiguity, "check_case", _nothing, f'{{"linux":{{}},"LINUX":{OWN}}}'),
    "more is changed": (splice, "with_seccomp", _careless, '{"linux":{}}'),
    "another profile": (block_equivalence, "_check", _nothing, f'{{"linux":{OTHER}}}'),
}


@pytest.mark.parametrize("name", PLANTED)
def test_runcs_own_decoder_detects_a_missing_check(
    decoder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(targets.DECODER, str(decoder))
    where, function, instead, text = PLANTED[name]
    targets.config(text.encode())
    monkeypatch.setattr(where, function, instead)
    with pytest.raises(targets.Defect):
        targets.config(text.encode())
