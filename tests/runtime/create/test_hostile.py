"""A create on a hostile machine: environment, locks, prefix."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.attackers import hostile_user
from harness.host.processes import Run, attempt, short_directory
from harness.node import install
from harness.node.requirements import requires
from runc_wrap.node import selftest_container

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
        (place / "temporary").mkdir(parents=True)
        for name in MODULES:
            self._write(place / f"{name}.py", _MARK.format(str(self.ran), name.encode()))
        for name in PROGRAMS:
            self._write(place / "bin" / name, f"#!/bin/sh\necho {name} >> {self.ran}\nexit 1\n")
        self._write(place / "env.sh", f"echo ENV >> {self.ran}\n")
        self._write(place / "pip.conf", f"[global]\nno-index = 1\ntarget = {place}/temporary\n")
        for client in (".docker", ".config"):
            plugin = place / "home" / client / "cli-plugins" / "docker-trap"
            self._write(plugin, f"#!/bin/sh\necho docker >> {self.ran}\n")
        self._write(place / "home" / ".rpmmacros", f"%_dbpath %(echo rpm >> {self.ran})\n")
        configuration = (place / "pip.conf").read_text()
        self._write(place / "home" / ".config" / "pip" / "pip.conf", configuration)
        hostile_user.own(place, *place.rglob("*"))

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
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

    def run(self, *argv: str | Path, stdin: str = "", **more: str) -> Run:
        env = {**self.environment, **more}
        done = attempt(argv, env=env, cwd=self.place, stdin=stdin, seconds=250)
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


@pytest.fixture
def node(installed: install.Installed) -> Iterator[install.Installed]:
    """An installation that every user can read."""
    requires("setpriv", "flock", root=True)
    with short_directory("locks", 0o755) as place:
        yield install.copy_of(installed, place / "p")


def test_a_users_locks_do_not_block_apply_metrics_or_engine_add(
    node: install.Installed, tmp_path: Path
) -> None:
    engine = tmp_path / "daemon.json"
    with_state: list[str | Path] = ["engine", "add", "docker", "--config", engine]
    node.control(*with_state)
    node.control("engine", "remove", "docker", "--config", engine)
    node.control("metrics")
    with hostile_user.locking_all_he_can(node.prefix) as held:
        assert held > 10  # he does reach what everybody may read
        assert "In force" in node.control("apply", seconds=30).stdout
        node.control("metrics", seconds=30)
        node.control(*with_state, seconds=30)
        node.control("engine", "remove", "docker", "--config", engine, seconds=30)


def test_a_users_locks_do_not_block_an_upgrade() -> None:
    requires("setpriv", "flock", "runc", root=True)
    with short_directory("upgrade", 0o755) as place:
        installed = install.install(place / "p")
        with hostile_user.locking_all_he_can(installed.prefix) as held:
            assert held > 10
            install.install(installed.prefix)


def test_an_install_that_finds_another_ends_and_says_so(node: install.Installed) -> None:
    lock = node.prefix / "var" / "lock" / "install"
    lock.touch(0o600)
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = install.attempted(node.prefix)
    assert done.returncode == 1
    assert f"another installation or removal works on {node.prefix}; wait for it" in done.stderr


def test_a_link_that_replaces_the_old_lock_is_not_followed(tmp_path: Path) -> None:
    """`exec 9> .install.lock` emptied whatever a symbolic link of that name led to."""
    requires("runc", root=True)
    precious = tmp_path / "precious"
    precious.write_text("precious\n")
    prefix = tmp_path / "prefix"
    (prefix / "var" / "lock").mkdir(parents=True)
    for name in (".install.lock", "var/lock/install", "var/lock/policy"):
        (prefix / name).symlink_to(precious)
    install.attempted(prefix)
    assert precious.read_text() == "precious\n"


@pytest.fixture
def place() -> Iterator[Path]:
    requires("runc", "setpriv", root=True)
    with short_directory("prefix", 0o755) as made:
        yield made


def _his(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    hostile_user.own(path)


def _everybodys(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)


def _through_his_link(path: Path) -> None:
    """In a sticky directory like /tmp: the user cannot rename root's files, but owns the link."""
    path.parent.chmod(0o1777)
    (path.parent / "elsewhere").mkdir()
    path.symlink_to("elsewhere")
    hostile_user.own(path)


WAYS: dict[str, Callable[[Path], None]] = {
    "his own": _his,
    "writable by all": _everybodys,
    "a link of his": _through_his_link,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["above", "itself"])
def test_an_unsafe_prefix_is_refused_before_any_write(place: Path, way: str, where: str) -> None:
    WAYS[way](place / "a")
    prefix = place / "a" / "p" if where == "above" else place / "a"
    before = sorted(place.rglob("*"))
    done = install.attempted(prefix)
    assert done.returncode == 1
    assert f"{place}/a " in done.stderr
    assert "chown" in done.stderr
    assert sorted(place.rglob("*")) == before


def test_a_part_that_a_user_took_over_stops_an_upgrade_and_is_an_error_of_doctor(
    installed: install.Installed, place: Path
) -> None:
    node = install.copy_of(installed, place / "p")
    assert _ownership(node.control("doctor", "--json", ok=False).stdout) == []
    hostile_user.own(node.prefix / "etc" / "conf.d")
    done = install.attempted(node.prefix)
    assert (done.returncode, f"{node.prefix}/etc/conf.d belongs to" in done.stderr) == (1, True)
    checked = node.control("doctor", "--json", ok=False)
    (found,) = _ownership(checked.stdout)
    assert checked.returncode == 1
    assert found["severity"] == "error"
    assert f"{node.prefix}/etc/conf.d belongs to uid {hostile_user.UID}" in found["sentence"]


def _ownership(document: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(document)["findings"]
    return [each for each in found if each["check"] == "ownership"]


def test_a_users_interpreter_is_refused(place: Path) -> None:
    python = place / "python3"
    shutil.copy(os.path.realpath("/usr/bin/python3"), python)
    hostile_user.own(python)
    done = install.attempted(place / "p", str(python))
    assert done.returncode == 1
    assert f"others may replace {python}, which root would execute" in done.stderr
    assert not (place / "p").exists()


def test_a_user_can_install_for_themselves(place: Path) -> None:
    """All but the final containers, which runc does not start for a user without namespaces."""
    _his(place / "home")
    prefix = place / "home" / "p"
    done = install.attempted(prefix, before=hostile_user.AS_USER)
    assert "runc-wrap is installed in" in done.stdout, done.stdout + done.stderr
    assert "rootless container requires user namespaces" in done.stderr
    assert prefix.stat().st_uid == hostile_user.UID
    his = attempt([*hostile_user.AS_USER, prefix / "bin" / "runc-wrapctl", "doctor", "--json"])
    assert _ownership(his.stdout) == []
    roots = attempt([prefix / "bin" / "runc-wrapctl", "doctor", "--json"])
    assert _ownership(roots.stdout) != []
