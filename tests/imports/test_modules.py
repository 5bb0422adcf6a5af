"""Which modules a create loads, and each role of the agent: exact lists for each interpreter.

Every module costs part of a millisecond at every container start, or permanent memory on every
node, so an additional one fails here.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import attempt, run
from harness.node import install
from harness.node.requirements import unmet
from runc_wrap.agent import start

# What CPython itself loads under -I -S before our first line; until 3.13 it loaded more.
_START = """
_codecs _frozen_importlib_external _io _signal codecs encodings encodings.aliases
encodings.utf_8 marshal posix time zipimport
"""
BARE = frozenset(_START.split())
UNTIL_313 = frozenset({"_abc", "abc", "io"})
HOT = frozenset(
    f"runc_wrap.hotpath.{name}"
    for name in "annotations argv config_file container_identity create_facts decision errors "
    "exec_runtime json_ambiguity json_codec ledger_file main policy_file policy_rule_match "
    "privileged resolve splice".split()
) | {"runc_wrap", "runc_wrap.hotpath", "_blake2", "gc"}
ORJSON = {"_datetime"}  # orjson is loaded by path and so does not appear
# Of our modules only late imports appear: the others come from one file (launcher/pack_hotpath.py).
LATE = {"_blake2", "gc"} | ORJSON
# What the replacement of orjson loads, and what the search for repeated names loads.
SLOW = frozenset({"json", "json.decoder", "json.encoder", "json.scanner", "_json", "re"})


@dataclass(frozen=True)
class Interpreter:
    """One Python with its own installation, whose runtime is /bin/true."""

    version: tuple[int, int]
    installed: install.Installed

    @property
    def seen(self) -> frozenset[str]:
        """Return what a create loads: CPython's own modules, and ours that are imported late."""
        return BARE | LATE | (UNTIL_313 if self.version <= (3, 13) else frozenset())

    def modules(self, words: list[str]) -> frozenset[str]:
        """Return the modules that were imported before the exec, or before the refusal."""
        release = self.installed.release
        argv: list[str | Path] = [
            release.joinpath("python").readlink(),
            *"-I -S -B -X utf8".split(),
        ]
        argv += ["-X", "importtime", release / "hotpath" / "cold.py"]
        argv += ["--prefix", self.installed.prefix, "--kind", "runc", "--runtime", "/bin/true"]
        told = attempt([*argv, "--called-as", "runc-wrap", "--", *words]).stderr
        return frozenset(
            re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", told, re.MULTILINE)
        )


def _interpreters() -> list[str]:
    """The interpreter of the tests, and the other one that the Makefile found."""
    return [sys.base_prefix + "/bin/python3", os.environ.get("OTHER_PYTHON", "")]


@pytest.fixture(scope="session", params=["first", "second"])
def interpreter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Interpreter:
    path = _interpreters()[request.param == "second"]
    if not path:
        unmet("needs a second Python, which `make` looks for")
    told = [path, "-c", "import sys; print(*sys.version_info[:2])"]
    major, minor = run(told).stdout.split()
    prefix = tmp_path_factory.mktemp(f"python{minor}") / "prefix"
    return Interpreter((int(major), int(minor)), install.install(prefix, path))


def _create(bundle: Bundle) -> list[str]:
    return ["create", "--bundle", str(bundle.path), "ID"]


def _asks(value: str) -> Callable[[Bundle], None]:
    def ask(bundle: Bundle) -> None:
        with bundle.edited() as config:
            config["annotations"] = {"runc-wrap/seccomp": value}

    return ask


PATHS: dict[str, Callable[[Bundle], object]] = {
    "a profile is injected": lambda _: None,
    "the container opted out": _asks("unconfined"),
    "the config is missing": lambda bundle: bundle.config.unlink(),
    "the config is no JSON": lambda bundle: bundle.config.write_text("{"),
    "the profile does not exist": _asks("localhost/none"),
    "the annotation is nonsense": _asks("nonsense"),
}


@pytest.mark.parametrize("path", PATHS)
def test_a_create_loads_these_modules_and_no_other(
    interpreter: Interpreter, bundle: Bundle, path: str
) -> None:
    PATHS[path](bundle)
    assert interpreter.modules(_create(bundle)) ^ interpreter.seen == set()


@pytest.mark.parametrize("adopts", [False, True])
def test_a_config_with_a_profile_loads_one_module_more_and_only_if_the_policy_adopts(
    interpreter: Interpreter, bundle: Bundle, tmp_path: Path, *, adopts: bool
) -> None:
    own = install.copy_of(interpreter.installed, tmp_path / "own")
    if adopts:
        own.configure('[default]\nadopt = "runtime-default"\n')
    with bundle.edited() as config:
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    found = Interpreter(interpreter.version, own).modules(_create(bundle))
    late = {name for name in found if name.startswith("runc_wrap.hotpath.")} - interpreter.seen
    assert late == ({"runc_wrap.hotpath.block_equivalence"} if adopts else set())
    assert found - late - {"runc_wrap", "runc_wrap.hotpath"} == interpreter.seen


def test_a_repeated_name_uses_the_slow_parser(interpreter: Interpreter, bundle: Bundle) -> None:
    """The control: late imports appear too."""
    bundle.config.write_text('{"linux":{},"linux":{}}')
    assert interpreter.modules(_create(bundle)) > SLOW


def _hot_copy(interpreter: Interpreter, tmp_path: Path) -> tuple[Interpreter, Path]:
    """Return the interpreter with its own hot path, which a test may change."""
    own = install.copy_of(interpreter.installed, tmp_path / "own")
    hot = install.lay_out_second(own) / "hotpath"
    install.switch_release(own.prefix)
    (hot / "hotpath.packed").unlink()
    return Interpreter(interpreter.version, own), hot


def test_the_packed_modules_are_those_that_a_create_imports(
    interpreter: Interpreter, bundle: Bundle, tmp_path: Path
) -> None:
    changed, _ = _hot_copy(interpreter, tmp_path)
    assert changed.modules(_create(bundle)) == changed.seen | HOT
    assert "seccomp" in bundle.read()["linux"]


def _one_bit(text: bytes, at: int) -> bytes:
    return text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "a bit in the middle": lambda whole: _one_bit(whole, len(whole) // 2),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_unusable_packed_file_falls_back_to_the_modules(
    interpreter: Interpreter, bundle: Bundle, tmp_path: Path, damage: str
) -> None:
    """As after an upgrade of the interpreter to another version, or a power cut."""
    changed, hot = _hot_copy(interpreter, tmp_path)
    whole = (interpreter.installed.release / "hotpath" / "hotpath.packed").read_bytes()
    (hot / "hotpath.packed").write_bytes(DAMAGES[damage](whole))
    assert changed.modules(_create(bundle)) == changed.seen | HOT
    assert "seccomp" in bundle.read()["linux"]


def test_without_orjson_a_create_still_confines(
    interpreter: Interpreter, bundle: Bundle, tmp_path: Path
) -> None:
    changed, hot = _hot_copy(interpreter, tmp_path)
    shutil.rmtree(hot / "orjson")
    assert changed.modules(_create(bundle)) > SLOW
    assert "seccomp" in bundle.read()["linux"]


@pytest.mark.parametrize("module", ["click", "psutil", "pyseccomp"])
def test_the_hot_path_cannot_import_the_commands_dependencies(
    interpreter: Interpreter, module: str
) -> None:
    release = interpreter.installed.release
    program = f"import sys; sys.path.insert(0, {str(release / 'hotpath')!r}); import {module}"
    argv = [str(release / "python"), "-I", "-S", "-c", program]
    assert "ModuleNotFoundError" in attempt(argv).stderr


# What typing brings, which socket and mmap need; until 3.12 it brought more.
_TYPING = """
_collections _collections_abc _functools _operator _typing collections collections.abc copyreg
functools itertools keyword operator reprlib types typing
"""
_TYPING_311 = """
_sre contextlib enum re re._casefix re._compiler re._constants re._parser typing.io typing.re
warnings
"""
_OS = "_stat genericpath os os.path posixpath stat"
_OBSERVE = f"""
__future__ _blake2 _datetime _socket _struct array enum errno fcntl math mmap select selectors
socket struct {_OS} {_TYPING}
"""
# role of the agent -> how many modules of ours it loads, and all others
ROLES = {
    "decide": (28, "__future__ _blake2 _datetime _socket errno fcntl gc select"),
    "observe": (
        75,
        f"""{_OBSERVE} _bisect _ctypes _sre bisect ctypes ctypes._endian gc re re._casefix
        re._compiler re._constants re._parser resource""",
    ),
    "inspector": (10, "__future__ _socket _struct resource struct"),
}
MEASURED = {(3, 11), (3, 13)}
# On other versions these at least are not loaded, as their own imports differ.
EXPENSIVE = {"argparse", "asyncio", "dataclasses", "inspect", "json", "logging", "pathlib"}


def _loaded(interpreter: Interpreter, role: str) -> tuple[int, set[str]]:
    """Return how many modules of ours a role loads, and which others."""
    release = interpreter.installed.release
    (root,) = {path.parents[2] for path in release.glob("**/agent/start.py")}
    code = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1])\n"
        f"import {start.ROLES[role]}\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    argv = [str(release / "python"), "-I", "-S", "-B", "-X", "utf8", "-c"]
    names = set(run([*argv, code, root]).stdout.split())
    ours = {name for name in names if name.split(".")[0] == "runc_wrap"}
    return len(ours), names - ours


@pytest.mark.parametrize("role", ROLES)  # what writes the metrics ends: its contract is enough
def test_a_role_of_the_agent_loads_these_modules_and_no_other(
    interpreter: Interpreter, role: str
) -> None:
    ours, others = ROLES[role]
    expected = {*others.split()}
    if interpreter.version < (3, 12) and "typing" in expected:
        expected |= {*_TYPING_311.split()}
    number, found = _loaded(interpreter, role)
    assert number == ours
    assert not EXPENSIVE & found
    assert found == expected or interpreter.version not in MEASURED
