"""Fuzzed input, an hour of it by `make campaign-fuzz`; and that the oracles detect defects.

A campaign's corpus and crashes are in build/fuzz/TARGET.
"""

import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.node.requirements import machine, requires, unmet
from runc_wrap.hotpath import engine_default, json_ambiguity, splice
from tests.campaigns import fuzz, targets
from tests.campaigns.seeds import SEEDS

RUNS = 2000
SECONDS = os.environ.get("RUNC_WRAP_TEST_FUZZ", "")  # for each target, instead of RUNS


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    requires("go", f"{fuzz._SOURCES}/src/github.com/opencontainers/runtime-spec")  # noqa: SLF001 - where it looks
    return fuzz.decoder(tmp_path_factory.mktemp("decoder"))


@pytest.mark.parametrize("target", targets.TARGETS)
def test_no_fuzzed_input_is_read_wrongly(target: str, tmp_path: Path, decoder: Path) -> None:
    machine("x86_64")
    if find_spec("atheris") is None:
        unmet("needs atheris, which pyproject.toml pins for Python 3.13")
    flags = [f"-max_total_time={SECONDS}"] if SECONDS else [f"-runs={RUNS}", "-seed=1"]
    place = Path("build/fuzz").absolute() if SECONDS else tmp_path
    found = fuzz.fuzzed(target, place, flags, decoder)
    assert found.crashes == [], found.told
    assert found.tried >= RUNS, found.told
    assert found.covered > 0


def test_every_target_has_seeds_that_it_accepts(
    decoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    "another profile": (engine_default, "_check", _nothing, f'{{"linux":{OTHER}}}'),
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
