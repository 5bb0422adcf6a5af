"""Generated input for the launcher's C, with sanitizers, against a model of it in Python.

LAUNCHER_FUZZ_SECONDS sets how long (default 3 each), LAUNCHER_FUZZ_SEED repeats a run: the seed is
in each failure. Checks that are omitted on purpose must be detected.
"""

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.node import launchers
from harness.node.launchers import VERSION, message
from harness.node.requirements import REQUIRE_ALL
from tests.launcher import models

SECONDS = float(os.environ.get("LAUNCHER_FUZZ_SECONDS", "3"))
# CI tries the same ones each time, as tests/conftest.py says
_USUAL = 1 if os.environ.get(REQUIRE_ALL) else random.SystemRandom().getrandbits(32)
SEED = int(os.environ.get("LAUNCHER_FUZZ_SEED", "0")) or _USUAL
BATCH = 5000
HARNESS = Path(__file__).with_name("harness.c")

NUMBERS = [
    b"0",
    b"1",
    b"00",
    b"",
    b"-1",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9" * 20,
]
PATHS = [b"/", b"/b/config.json", b"b", b"", b"/" + b"x" * 5000, b"/\xff"]
ANSWERS = [
    message(VERSION, "cold"),
    message(VERSION, "go", "/b/config.json", 64768, 123456789),
    message(VERSION, "rename", "/b/config.json", 64768, 123456789, "/b/.new", "/b/config.json", 7),
]
WORDS = [
    b"create run restore state exec kill delete help --log -log --log=x --log-format json text",
    b"--log-format=json --log=file:/x journald:i --log=syslog:i - -- --root / --root=/ id --bundle",
    b"--debug -debug --debug=x --systemd-cgroup --version -v -V -? -h ---debug --d",
    b"--log-level --log-level=x -criu --rootless --rootless=true --cgroup-manager --log-forma",
    b"--usage --HANG --program-name --program-name=x",
]
VOCABULARY = [
    *b" ".join(WORDS).split(),
    b"",
    b"=",
    b"-=",
    b"---log",
    b"--log=",
    b"\xff",
    b"x" * 300,
]


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("harness")


def _harness(directory: Path, name: str, *flags: str) -> Path:
    words = [*launchers.SANITIZED, *flags]
    return launchers.compiled(directory / name, *words, sources=[HARNESS])


@pytest.fixture(scope="session")
def harness(directory: Path) -> Path:
    return _harness(directory, "sound")


def _mutated(data: bytes, chance: random.Random) -> bytes:
    """One small change to the bytes: cut, doubled, one changed, put in or taken out."""
    at = chance.randrange(len(data) + 1)
    kind = chance.randrange(5)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + data[chance.randrange(len(data) + 1) :]
    put = bytes([chance.choice([0, 47, 48, 57, chance.randrange(256)])])
    return data[:at] + put + data[at + chance.randrange(2) :]


def _answer(chance: random.Random) -> bytes:
    fields = chance.choice(ANSWERS).split(b"\0")[:-1]
    for number in range(2, len(fields)):
        if chance.random() < 0.3:
            known = PATHS if fields[number].startswith(b"/") else NUMBERS
            fields[number] = chance.choice(known)
    data = message(*fields)
    while chance.random() < 0.4:
        data = _mutated(data, chance)
    return data


def _words(chance: random.Random) -> bytes:
    data = message(*(chance.choice(VOCABULARY) for _ in range(chance.randrange(9))))
    if data and chance.random() < 0.2:
        data = _mutated(data, chance)
    return data if data.endswith(b"\0") or not data else data + b"\0"


def _answer_expected(data: bytes) -> str:
    return models.answer(data)


def _words_expected(data: bytes) -> str:
    return models.words(data.split(b"\0")[:-1])


KINDS: dict[str, tuple[Callable[[random.Random], bytes], Callable[[bytes], str]]] = {
    "a": (_answer, _answer_expected),
    "w": (_words, _words_expected),
}


def _results(harness: Path, kind: str, inputs: list[bytes]) -> list[str]:
    lines = "".join(f"{kind} {data.hex()}\n" for data in inputs)
    done = subprocess.run(
        [harness], input=lines, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"seed {SEED}\n{done.stderr}"
    return done.stdout.splitlines()


def _differences(harness: Path, kind: str, seconds: float) -> tuple[list[str], dict[str, int]]:
    """Return where the harness and the model differ, and how often each verdict occurred."""
    make, expected = KINDS[kind]
    chance = random.Random(SEED)  # noqa: S311 - a seed that can be repeated is the point
    seen: dict[str, int] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        inputs = [make(chance) for _ in range(BATCH)]
        for data, result in zip(inputs, _results(harness, kind, inputs), strict=True):
            seen[result.split(" ")[0]] = seen.get(result.split(" ")[0], 0) + 1
            if result != expected(data):
                return [f"seed {SEED}: {data!r}: {result}, not {expected(data)}"], seen
    return [], seen


@pytest.mark.parametrize(("kind", "verdicts"), [("a", 3), ("w", 7)])
def test_generated_input_is_parsed_like_the_model(harness: Path, kind: str, verdicts: int) -> None:
    differences, seen = _differences(harness, kind, SECONDS)
    assert differences == []
    assert len(seen) == verdicts
    assert min(seen.values()) > BATCH / 100  # each verdict is really reached


def _planted(directory: Path, check: str, instead: str) -> Path:
    """Return a harness whose ask.c lacks a check."""
    source = (launchers.DIRECTORY / "ask.c").read_text()
    assert source.count(check) == 1
    (directory / "ask.c").write_text(source.replace(check, instead))
    return _harness(directory, "planted", "-I", str(directory))


LEFT_OUT = [
    ("*value > (UINT64_MAX - (uint64_t)(*digits - '0')) / 10", "false"),
    ("*digits < '0' || *digits > '9'", "*digits < '0'"),
    ("fields[6][0] != '/' || ", ""),
    ("count == 5", "count >= 5"),
]


@pytest.mark.parametrize(("check", "instead"), LEFT_OUT)
def test_a_missing_check_is_detected(tmp_path: Path, check: str, instead: str) -> None:
    differences, _ = _differences(_planted(tmp_path, check, instead), "a", 30)
    assert differences


def test_a_read_of_one_byte_too_many_is_detected(tmp_path: Path) -> None:
    """The sanitizer's own test: an answer without a final NUL that is treated as if it had one."""
    planted = _planted(tmp_path, "length == 0 || text[length - 1] != '\\0'", "length == 0")
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        _differences(planted, "a", 30)
