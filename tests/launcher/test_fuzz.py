"""Generated input for the launcher's C, with sanitizers, against a model of it in Python.

The model is written from the protocol and from the design, not from the C.

LAUNCHER_FUZZ_SECONDS sets how long (default 3 each), LAUNCHER_FUZZ_SEED repeats a run: the seed is
in each failure. Checks that are omitted on purpose must be detected.
"""

import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.host.processes import attempt
from harness.node import launchers
from harness.node.launchers import VERSION, message
from harness.node.requirements import REQUIRE_ALL

SECONDS = float(os.environ.get("LAUNCHER_FUZZ_SECONDS", "3"))
# CI tries the same ones each time, as tests/conftest.py says
_USUAL = 1 if os.environ.get(REQUIRE_ALL) else random.SystemRandom().getrandbits(32)
SEED = int(os.environ.get("LAUNCHER_FUZZ_SEED", "0")) or _USUAL
BATCH = 5000
HARNESS = Path(__file__).with_name("harness.c")

NUMBERS = [*b"0 1 00 -1 18446744073709551615 18446744073709551616".split(), b"", b"9" * 20]
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
    b"--usage --HANG --program-name --program-name=x = -= ---log --log= \xff",
]
VOCABULARY = [*b" ".join(WORDS).split(), b"", b"x" * 300]


_NUMBER = re.compile(rb"(?:0|[1-9][0-9]*)\Z")
_GO = re.compile(rb"runc-wrap/1\0go\0(/[^\0]*)\0([0-9]+)\0([0-9]+)\0\Z")
_RENAME = re.compile(
    rb"runc-wrap/1\0rename\0(/[^\0]*)\0([0-9]+)\0([0-9]+)\0(/[^\0]*)\0(/[^\0]*)\0([0-9]+)\0\Z"
)
_EDITED = {b"create", b"run", b"restore"}
_OTHERS = set(
    b"checkpoint delete events exec features help kill list mounts pause ps resume spec start "
    b"state update".split()
)
# Global flags of runc or crun that stand alone, with one dash or two.
_ALONE = re.compile(rb"--?(?:debug|systemd-cgroup|version|v|V|help|h|usage|HANG|\?)\Z")
# Global flags of runc or crun that take a value, which is the next word unless "=" is there.
_VALUED = re.compile(
    rb"--?(log|log-format|log-level|root|rootless|criu|cgroup-manager|program-name)(?:=(.*))?\Z",
    re.DOTALL,
)


def _modelled_answer(message: bytes) -> str:
    """Return the line that the harness prints for a message of the agent, by the protocol."""
    for verdict, form in (("go", _GO), ("rename", _RENAME)):
        if found := form.match(message):
            groups = found.groups()
            numbers = [each for each in groups if not each.startswith(b"/")]
            if all(_NUMBER.match(each) and int(each) < 1 << 64 for each in numbers):
                shown = (e.hex() if e.startswith(b"/") else e.decode() for e in groups)
                return " ".join((verdict, *shown))
    return "cold"


def _modelled_words(data: bytes) -> str:
    """Return the line that the harness prints for the caller's arguments."""
    given = data.split(b"\0")[:-1]
    command = _command(given)
    path, form = _log(given)
    if path is None or path.startswith((b"journald:", b"syslog:")):
        return command
    return f"{command} {form} {path.removeprefix(b'file:').hex()}"


def _command(given: list[bytes]) -> str:
    before = b""
    for word in given:
        if word in _EDITED:
            return "create"
        takes_word = before.startswith(b"-") and b"=" not in before and not _ALONE.match(before)
        if word in _OTHERS and not takes_word:
            return word.decode()
        before = word
    return "other"


def _log(given: list[bytes]) -> tuple[bytes | None, str]:
    """The values of --log and --log-format before the command, which is no flag's value."""
    values: dict[bytes, bytes] = {}
    rest = iter(given)
    for word in rest:
        if word in _EDITED:
            break
        if flag := _VALUED.match(word):
            value = flag[2] if flag[2] is not None else next(rest, None)
            if value is not None:
                values[flag[1]] = value
    return values.get(b"log"), "json" if values.get(b"log-format") == b"json" else "text"


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("harness")


def _harness(directory: Path, name: str, *flags: str) -> Path:
    return launchers.compiled(directory / name, *launchers.SANITIZED, *flags, sources=[HARNESS])


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


KINDS: dict[str, tuple[Callable[[random.Random], bytes], Callable[[bytes], str]]] = {
    "a": (_answer, _modelled_answer),
    "w": (_words, _modelled_words),
}


def _results(harness: Path, kind: str, inputs: list[bytes]) -> list[str]:
    done = attempt([harness], stdin="".join(f"{kind} {data.hex()}\n" for data in inputs))
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
