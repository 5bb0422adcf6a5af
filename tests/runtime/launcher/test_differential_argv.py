"""Generated command lines: the real runtime must open the very config.json that we would edit.

Each config.json here holds one letter, which is no JSON; both runtimes print it when they fail
to parse the file, and so show which file they opened. crun built with json-c prints none; then the
access time shows it (relatime: of a file that had been read before it was written).
"""

import os
import random
import re
from pathlib import Path

import pytest

from harness.host.processes import attempt
from harness.node.requirements import program, requires
from runc_wrap.hotpath.argv import config_path, parse

LINES = 1500
FILES = {"config.json": "A", "b/config.json": "B", "c/config.json": "C", "create/config.json": "D"}
FILES |= {"b/other.json": "E", "other.json": "F", "--no-pivot/config.json": "G"}
FILES |= {"-b/config.json": "H"}

GLOBALS = ["--root=R", "--root R", "-root R", "--debug", "--log L", "--log=L", "--log-format json"]
GLOBALS += ["--systemd-cgroup", "--rootless true", "--roo R", "--log-f json", "--", "--nonsense"]
FLAGS = ["-b b", "-b c", "--bundle b", "--bundle c", "--bundle=b", "-bundle c", "-b=c", "-bb"]
FLAGS += ["-bc"]
FLAGS += ["--bun c", "--b=c", "-db c", "-dbc", "-d", "--detach", "--no-pivot", "--no-new-keyring"]
FLAGS += ["--pid-file P", "--pid-file --no-pivot", "--pid-f P", "--preserve-fds 0", "--", "-"]
FLAGS += ["-f other.json", "--config b/other.json", "-f config.json", "-fb/other.json", "--bundle"]
FLAGS += ["--no-pivot=true", "--no-pivot=false", "--bundle=", "--bundle create", "--nonsense", "-h"]
FLAGS += ["--help=false", "--console-socket S", "ID2", "--bundle --no-pivot", "-b -b", "--p x"]
COMMANDS = ["create"] * 5 + ["run"] * 3 + ["state", "delete"]


def _line(chance: random.Random) -> list[str]:
    words = [
        word for _ in range(chance.choice([0, 0, 1, 2])) for word in chance.choice(GLOBALS).split()
    ]
    words.append(chance.choice(COMMANDS))
    parts = [chance.choice(FLAGS).split() for _ in range(chance.choice([0, 1, 1, 2, 2, 3]))]
    parts.insert(chance.randint(0, len(parts)) if chance.random() < 0.3 else len(parts), ["create"])
    return words + [word for part in parts for word in part]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, letter in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(letter)
    return tmp_path


def _opened_by(runtime: str, words: list[str], place: Path) -> str:
    """Return the letter of the file that the runtime failed to parse, "" if it came to none."""
    for name in FILES:
        os.utime(place / name, (0, 1))
    done = attempt([runtime, *words], cwd=place, seconds=30)
    log = place / "L"
    said = done.stderr + (log.read_text() if log.exists() else "")
    log.unlink(missing_ok=True)
    if "cannot parse the data" in said:
        (letter,) = (FILES[name] for name in FILES if (place / name).stat().st_atime)
        return letter
    found = re.search(r"invalid char(?:acter \W*| in json text\.\s+)([A-H])\W", said)
    return found[1] if found else ""


@pytest.mark.parametrize("kind", ["runc", "crun"])
def test_the_runtime_opens_the_config_that_we_would_edit(kind: str, place: Path) -> None:
    requires(kind, root=True)
    chance = random.Random(20261124)  # noqa: S311 - the same lines every time
    opened = 0
    for _ in range(LINES):
        words = _line(chance)
        real = _opened_by(program(kind), words, place)
        invocation = parse(words, kind)
        path = place / config_path(invocation) if invocation else place
        ours = path.read_text() if path.is_file() else ""
        if real:
            opened += 1
            assert ours == real, words
    assert opened > LINES / 10  # the lines must reach the files, or nothing is shown


def test_a_wrong_parse_is_detected(place: Path) -> None:
    """The control: parsed as crun would, runc's command lines lead to another file."""
    requires("runc", root=True)
    words = ["create", "create", "--bundle", "b"]
    assert _opened_by(program("runc"), words, place) == "B"
    assert parse(words, "crun") is None
