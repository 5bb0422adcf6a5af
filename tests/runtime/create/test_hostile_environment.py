"""Root's environment and directory do not choose what install.sh and runc-wrapctl run.

A local user controls them: a `sudo` that keeps variables, a root shell in the user's directory.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.attackers import hostile_user
from harness.node import install
from harness.node.requirements import requires
from runc_wrap.node import selftest_container

if TYPE_CHECKING:
    from pathlib import Path

# Modules that Python imports by name on the way, and those that it imports by itself.
MODULES = """
venv pip ensurepip compileall pathlib sitecustomize usercustomize json setuptools sysconfig
_distutils_hack site encodings os click runc_wrap struct stat grp pwd startup
""".split()
PROGRAMS = """
python3 python cc gcc musl-gcc pip env sh dirname sed date mktemp flock stat mkdir cp rm ln mv cat
readlink apt-get runc crun newuidmap containerd tr chmod sync
""".split()


# `posix` is built in: it is there before anything can be imported from a path.
_MARK = "import posix\nposix.write(posix.open({!r}, posix.O_WRONLY | posix.O_CREAT, 0o666), {!r})\n"


class Trap:
    """A directory of uid 4242's, whose modules and programs record that they were run."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.ran = place.parent / "ran"
        for where in (place, place / "bin", place / "home", place / "temporary"):
            where.mkdir(parents=True)
        for name in MODULES:
            self._write(place / f"{name}.py", _MARK.format(str(self.ran), name.encode()))
        for name in PROGRAMS:
            self._write(place / "bin" / name, f"#!/bin/sh\necho {name} >> {self.ran}\nexit 1\n")
        self._write(place / "env.sh", f"echo ENV >> {self.ran}\n")
        self._write(place / "pip.conf", f"[global]\nno-index = 1\ntarget = {place}/temporary\n")
        for client in (".docker", ".config"):
            plugin = place / "home" / client / "cli-plugins" / "docker-trap"
            plugin.parent.mkdir(parents=True)
            self._write(plugin, f"#!/bin/sh\necho docker >> {self.ran}\n")
        macros = f"%_dbpath %(echo rpm >> {self.ran})\n"
        (place / "home" / ".rpmmacros").write_text(macros)
        configuration = place / "home" / ".config" / "pip" / "pip.conf"
        configuration.parent.mkdir(parents=True)
        configuration.write_text((place / "pip.conf").read_text())
        hostile_user.own(place, *place.rglob("*"))

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        here = str(self.place)
        return {
            **dict.fromkeys(("PYTHONPATH", "PYTHONUSERBASE", "PIP_FIND_LINKS", "CDPATH"), here),
            **dict.fromkeys(("ENV", "BASH_ENV"), f"{here}/env.sh"),
            **dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"), f"{here}/home"),
            "PYTHONSTARTUP": f"{here}/startup.py",
            "PYTHON": f"{here}/bin/python3",
            "CC": f"{here}/bin/cc",
            "PATH": f"{here}/bin:{os.environ['PATH']}",
            "PIP_CONFIG_FILE": f"{here}/pip.conf",
            "PIP_INDEX_URL": "http://127.0.0.1:1/",
            "PIP_NO_INDEX": "1",
            "IFS": "/",
            "TMPDIR": f"{here}/temporary",
            "DOCKER_CONFIG": f"{here}/home/.docker",
            "BASH_FUNC_printf%%": f"() {{ echo printf >> {self.ran}; }}",
        }

    def run(
        self, *argv: str | Path, stdin: str = "", **more: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv,
            env={**self.environment, **more},
            cwd=self.place,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        ran = self.ran.read_text() if self.ran.exists() else ""
        assert ran == "", f"as root, from uid {hostile_user.UID}'s directory: {ran}"
        return done


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    requires("runc", "setpriv", root=True)
    tmp_path.chmod(0o755)
    return Trap(tmp_path / "hostile" / "trap")


@pytest.mark.parametrize("shell", ["sh", "bash --posix"])
def test_install_runs_nothing_from_the_callers_directory_or_environment(
    trap: Trap, tmp_path: Path, shell: str
) -> None:
    words = [f"/usr/bin/{shell.split(maxsplit=1)[0]}", *shell.split()[1:]]
    requires(words[0])
    prefix = tmp_path / "prefix"
    done = trap.run(*words, install.SOURCE / "install.sh", f"--prefix={prefix}", *install.OPTIONS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Seccomp: 2   with runc-wrap" in done.stdout
    assert not list((trap.place / "temporary").iterdir())


COMMANDS = [
    *(["--help"], ["apply"], ["doctor"], ["selftest"], ["metrics"], ["engine", "list"]),
    *(["engine", "status"], ["uninstall", "--dry-run"]),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("home", ["", "PYTHONHOME"])
def test_the_command_runs_nothing_from_the_callers_directory_or_environment(
    installed: install.Installed, trap: Trap, words: list[str], home: str
) -> None:
    more = {home: str(trap.place)} if home else {}
    done = trap.run(installed.ctl, *words, **more)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_in_a_prefix_with_blanks_runs_nothing_of_the_callers(
    tmp_path: Path, trap: Trap
) -> None:
    """Its first line cannot name the interpreter, so a shell starts it."""
    node = install.install(tmp_path / "it's a  prefix")
    assert node.ctl.read_bytes().startswith(b"#!/bin/sh\n")
    done = trap.run(node.ctl, "selftest", PYTHONHOME=str(trap.place))
    assert f"with runc-wrap ({node.wrapper})" in done.stdout
    assert trap.run(node.ctl, "--help").stdout.startswith("Usage: runc-wrapctl [OPTIONS]")


def test_a_hook_runs_nothing_of_the_callers(installed: install.Installed, trap: Trap) -> None:
    hook = installed.prefix / "hooks" / "runc-wrap-precreate"
    done = trap.run(hook, stdin="[", PYTHONHOME=str(trap.place))
    assert "runc-wrap" in done.stderr  # it came as far as its own complaint about that


def test_no_other_user_can_replace_the_trial_containers_config(
    trap: Trap, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(trap.place / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    with selftest_container._bundle(tmp_path, {}) as bundle:  # noqa: SLF001 - where it lies is asked
        assert bundle.parent == tmp_path
        assert bundle.stat().st_mode & 0o777 == 0o700


def test_a_package_with_another_hash_is_not_installed(tmp_path: Path, trap: Trap) -> None:
    """An index, a mirror or a proxy that delivers other content under the same name and version."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for line in (install.SOURCE / "requirements" / "runtime.txt").read_text().splitlines():
        if "==" in line:
            name, _, version = line.removesuffix(" \\").partition("==")
            stem = f"{name.replace('-', '_')}-{version}"
            (wheels / f"{stem}-py3-none-any.whl").write_bytes(b"PK\5\6" + bytes(18))
    words = ["--prefix", str(tmp_path / "prefix"), "--find-links", str(wheels), *install.OPTIONS]
    done = trap.run(install.SOURCE / "install.sh", *words)
    assert done.returncode != 0
    assert "HASHES" in done.stderr
    assert not (tmp_path / "prefix" / "lib" / "current").exists()
    assert not list((tmp_path / "prefix" / "lib" / "releases").iterdir())
