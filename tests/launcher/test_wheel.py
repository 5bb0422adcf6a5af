"""The package's build: a wheel with the launcher, and one without a compiler."""

import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from harness.host.processes import run, script
from harness.node import install
from harness.node.requirements import program, requires

LAUNCHER = "runc_wrap/launcher/runc-wrap"
REASON = "runc_wrap/launcher/not-built"
NO_COMPILER = "/nowhere/cc"
_BESIDE = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build a wheel with this C compiler ("": the usual), from a copy of the sources.

    `first` is a directory whose programs come first in PATH.
    """

    @cache
    def wheel(compiler: str, first: str = "") -> Path:
        source = tmp_path_factory.mktemp("source")
        for name in _BESIDE:
            shutil.copy(install.SOURCE / name, source)
        shutil.copytree(
            install.SOURCE / "runc_wrap",
            source / "runc_wrap",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        path = f"{first}:{os.environ['PATH']}" if first else os.environ["PATH"]
        environment = {**os.environ, "CC": compiler, "PATH": path}
        words = ["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run([sys.executable, *words, "-w", source / "wheel", source], env=environment, seconds=280)
        (made,) = (source / "wheel").iterdir()
        return made

    return wheel


def _sources() -> set[str]:
    package = install.SOURCE / "runc_wrap"
    return {
        str(path.relative_to(install.SOURCE))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _held(wheel: Path) -> set[str]:
    """The files of the package in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if name.startswith("runc_wrap/")}


def test_the_wheel_contains_every_file_of_the_package_and_the_launcher(
    build: Callable[..., Path],
) -> None:
    assert LAUNCHER not in _sources()  # no build leaves it in the checkout
    assert _held(build("")) == _sources() | {LAUNCHER}


def _reason(wheel: Path) -> str:
    assert _held(wheel) == _sources() | {REASON}
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(REASON).decode()


def test_without_a_compiler_the_wheel_has_the_reason_instead_of_the_launcher(
    build: Callable[..., Path],
) -> None:
    told = f"the C compiler {NO_COMPILER} cannot be executed: No such file or directory\n"
    assert _reason(build(NO_COMPILER)) == told


GLIBC = b"glibc.cpu."  # of its tunables: only what is linked statically with it has them


def _launcher(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(LAUNCHER)


def test_musl_is_used_if_it_is_there_and_works(build: Callable[..., Path], tmp_path: Path) -> None:
    requires("musl-gcc")
    assert GLIBC not in _launcher(build(""))
    script(tmp_path / "musl-gcc", "exit 1")
    assert GLIBC in _launcher(build("", str(tmp_path)))
    assert GLIBC in _launcher(build(program("cc")))  # what is asked for


def _refusing(path: Path, words: str) -> str:
    """Return a compiler that rejects these arguments, a pattern of sh."""
    refused = f'for word; do case $word in {words}) echo "no $word" >&2; exit 1 ;; esac; done'
    return str(script(path, f'{refused}\nexec {program("cc")} "$@"'))


@dataclass(frozen=True)
class _Elf:
    """The output of binutils for a launcher."""

    headers: str  # of the file and its segments, and the dynamic section
    symbols: str
    code: str  # of a function that has an array

    @property
    def stack(self) -> str:
        """The flags of its stack."""
        (flags,) = re.findall(r"GNU_STACK .* (\w+) +0x\w+\n", self.headers)
        return str(flags)


def _elf(wheel: Path, target: Path) -> _Elf:
    for each in ("readelf", "nm", "objdump"):
        requires(each)
    target.write_bytes(_launcher(wheel))
    return _Elf(
        run(["readelf", "--wide", "--file-header", "--segments", "--dynamic", target]).stdout,
        run(["nm", target]).stdout,
        run(["objdump", "--disassemble=tell_agent", target]).stdout,
    )


@pytest.mark.parametrize("compiler", ["musl-gcc", "cc", ""])
def test_a_launcher_is_hardened(build: Callable[..., Path], tmp_path: Path, compiler: str) -> None:
    """A dynamic one, too, which "" is: a compiler that links nothing statically."""
    chosen = program(compiler) if compiler else _refusing(tmp_path / "cc", "-static")
    elf = _elf(build(chosen), tmp_path / "launcher")
    kind = "EXEC (Executable file)" if compiler else "DYN (Position-Independent Executable file)"
    assert kind in elf.headers
    for word in ("INTERP", "BIND_NOW"):
        assert (word in elf.headers) is not bool(compiler)
    assert "GNU_RELRO" in elf.headers
    assert elf.stack == "RW"
    assert "__stack_chk_fail" in elf.code
    assert ("__vsnprintf_chk" in elf.symbols) == (compiler != "musl-gcc")  # it has no such checks


REFUSING = [("-fstack*", False), ("-f* | -static | -*pie | -Wl* | -D*", True)]


@pytest.mark.parametrize(("refused", "interpreter"), REFUSING)
def test_a_compiler_that_refuses_to_harden_builds_the_launcher(
    build: Callable[..., Path], tmp_path: Path, refused: str, interpreter: bool
) -> None:
    """Also the control: what the tests above check for can be missing."""
    elf = _elf(build(_refusing(tmp_path / "cc", refused)), tmp_path / "launcher")
    assert ("INTERP" in elf.headers) == interpreter
    assert "BIND_NOW" not in elf.headers
    assert "__stack_chk_fail" not in elf.code
    assert "__vsnprintf_chk" not in elf.symbols


def test_an_installation_whose_compiler_fails_is_refused_with_its_message_and_the_archive(
    build: Callable[..., Path], tmp_path: Path
) -> None:
    failing = str(script(tmp_path / "cc", "echo 'ld: cannot find -lc' >&2; exit 3"))
    told = f"the C compiler {failing} failed with status 3\nld: cannot find -lc\n"
    assert _reason(build(failing)) == told
    requires("runc", root=True)
    done = install.attempted(tmp_path / "prefix", "/usr/bin/python3", "--cc", failing)
    assert done.returncode == 1
    assert f"the launcher is not built: {told}Try: name another compiler with --cc" in done.stderr
    assert "install from the release archive" in done.stderr
    assert [*(tmp_path / "prefix" / "lib" / "releases").iterdir()] == []
