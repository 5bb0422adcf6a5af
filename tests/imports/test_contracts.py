"""A planted defect breaks each import contract of pyproject.toml."""

import contextlib
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.host.processes import attempt, environment

SOURCE = Path(__file__).resolve().parents[2]
TYPES = "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    "

ROOMS = "Imports point one way, from room to room"
HOUSES = "Tests and bench do not know each other, the harness neither, and the program none of them"
WITHIN = "Within a room, too, imports point one way"
HOT = "The hot path loads these modules only"
CODEC = "orjson is imported by its codec only"
DECIDING = "What decides, compiles and computes opens nothing, starts nothing and asks no clock"
JUDGING = "What judges and compiles with libseccomp's names and numbers touches nothing else"
ROLE = "The agent's {} loads these modules only"
METRICS = "The program that writes the agent's metrics loads these modules only"
PROGRAMS = "A process or program is begun in these modules only"
SIGNALS = "A signal is sent from these modules only"
FUNCTIONS = "C functions are called by ctypes in these modules only"
LIBSECCOMP = "libseccomp is loaded in these modules only"
CODE = "Bytes become code in these modules only"
IDS = "Uids, gids and capabilities are changed in these modules only"
NETWORK = "The network is reached from these modules only"

LOCKS, SETTINGS = "host/locks.py", "policy/settings/settings_reader.py"
TOML = "from runc_wrap.policy.settings import toml_lines"
FILES = "from runc_wrap.host import files"
COMPILER, WIDTHS = (
    "policy/policy_compiler.py",
    "import runc_wrap.profiles.arguments.parameter_widths",
)
# contract, file, the line appended to it, a word of the message
PLANTS = [
    (ROOMS, LOCKS, TOML, "toml_lines"),
    (ROOMS, LOCKS, f"{TYPES}{TOML}", "toml_lines"),
    (HOUSES, "safe_text.py", "import harness.host.processes", "harness"),
    (HOUSES, "../tests/mutants.py", "import bench.rows", "bench.rows"),
    (WITHIN, "hotpath/argv.py", "from runc_wrap.hotpath import create_facts", "create_facts"),
    (WITHIN, "profiles/source_profile.py", f"{TYPES}{WIDTHS}", "-> "),
    (HOT, "hotpath/agent_probe.py", "import zlib", "zlib"),
    (HOT, "hotpath/agent_probe.py", "def f() -> None:\n    import zlib", "zlib"),
    (HOT, "hotpath/main.py", "print()", "uses print"),
    (CODEC, "host/files.py", "import orjson", "runc_wrap.host.files"),
    (DECIDING, "hotpath/decision.py", "import posix", "posix"),
    (DECIDING, "report/workload_names.py", "open('/etc/passwd')", "uses open"),
    (DECIDING, "time_text.py", "NOW = time.time()", "uses time.time"),
    (DECIDING, "hotpath/splice.py", "from runc_wrap.hotpath.errors import report", "errors.report"),
    (DECIDING, "profiles/engine_defaults/moby.py", FILES, "-> runc_wrap.host.files"),
    (JUDGING, COMPILER, "from runc_wrap.hotpath.policy_file import load", "file.load"),
    (ROLE.format("service decide"), "agent/decide/answerer.py", "import enum", "-> enum"),
    (ROLE.format("service observe"), "agent/record/recorder.py", "import logging", "-> logging"),
    (ROLE.format("inspector"), "agent/observe/inspector.py", "import os", "-> os"),
    (METRICS, "metrics/metrics_file.py", "import click", "-> click"),
    (PROGRAMS, "node/seccomp_features.py", "import subprocess", "uses subprocess"),
    (PROGRAMS, SETTINGS, "from os import execv", "uses os.execv"),
    (SIGNALS, LOCKS, "os.kill(1, 9)", "uses os.kill"),
    (FUNCTIONS, LOCKS, "import ctypes", "uses ctypes"),
    (LIBSECCOMP, SETTINGS, "import pyseccomp", "uses pyseccomp"),
    (CODE, SETTINGS, "eval('1')", "uses eval"),
    (CODE, SETTINGS, "from pickle import loads", "uses pickle.loads"),
    (IDS, SETTINGS, "import os\nos.setresuid(0, 0, 0)", "uses os.setresuid"),
    (NETWORK, "node/flush_request.py", "A = _socket.AF_INET", "uses _socket.AF_INET"),
]


def _names() -> list[str]:
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())
    return [one["name"] for one in project["tool"]["importlinter"]["contracts"]]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, in which a test may plant defects."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("runc_wrap", "harness", "tests", "bench"):
        unwritten = shutil.ignore_patterns("__pycache__")
        shutil.copytree(SOURCE / name, root / name, ignore=unwritten)
    shutil.copy(SOURCE / "pyproject.toml", root)
    return root


Plant = tuple[str, str, str, str]


@pytest.fixture(scope="module")
def said_of(copy: Path) -> dict[Plant, tuple[set[str], str]]:
    """What the linter says of each plant, beside some that are in other files, of other contracts.

    It takes two seconds, and there are some forty plants.
    """
    found: dict[Plant, tuple[set[str], str]] = {}
    for together in _rounds():
        with _planted(copy, together):
            said = _linted(copy)
        found |= dict.fromkeys(together, said)
    return found


def _rounds() -> list[list[Plant]]:
    rounds: list[list[Plant]] = []
    for plant in PLANTS:
        one = next((one for one in rounds if _is_apart(plant, one)), None)
        if one is None:
            rounds.append([plant])
        else:
            one.append(plant)
    return rounds


def _is_apart(plant: Plant, others: list[Plant]) -> bool:
    return all(plant[0] != contract and plant[1] != file for contract, file, *_ in others)


@contextlib.contextmanager
def _planted(copy: Path, plants: list[Plant]) -> Iterator[None]:
    paths = {(copy / "runc_wrap" / name).resolve(): text for _, name, text, _ in plants}
    before = {path: path.read_text() for path in paths}
    for path, text in paths.items():
        path.write_text(f"{before[path]}\n{text}\n")
    yield
    for path, text in before.items():
        path.write_text(text)


def _linted(root: Path) -> tuple[set[str], str]:
    """Return the names of the broken contracts, and their messages."""
    linter = str(Path(sys.executable).with_name("lint-imports"))
    env = environment(PYTHONPATH=str(root), COLUMNS="1000")
    done = attempt([linter, "--no-cache", "--no-logo"], cwd=root, env=env)
    lines = done.stdout.splitlines()
    broken = {line.partition(" BROKEN")[0] for line in lines if " BROKEN" in line}
    assert done.returncode == bool(broken), done.stdout + done.stderr
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    return broken, done.stdout


def test_each_contract_has_a_plant() -> None:
    assert {one[0] for one in PLANTS} == {*_names()}


def test_nothing_is_broken_where_nothing_is_planted(copy: Path) -> None:
    assert _linted(copy)[0] == set()


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_import_or_call_breaks_its_contract(
    plant: Plant, said_of: dict[Plant, tuple[set[str], str]]
) -> None:
    contract, _, _, word = plant
    broken, said = said_of[plant]
    assert contract in broken
    assert word in said.split(f"\n{contract}\n")[1].split("\n\n\n")[0]


def test_what_is_allowed_and_not_used_breaks_its_contract(copy: Path) -> None:
    """Otherwise a list could stay outdated for years."""
    path = copy / "pyproject.toml"
    before = whole = path.read_text()
    unused = {
        "zlib": '"_blake2", "_datetime"',
        "runc_wrap.safe_text": '"runc_wrap.host.bounded_work"]',
    }
    for name, beside in unused.items():
        assert beside in before
        whole = whole.replace(beside, f'"{name}", {beside}')
    path.write_text(whole)
    broken, said = _linted(copy)
    path.write_text(before)
    assert broken
    assert all(f"{name} is allowed, and " in said for name in unused)
