"""The steps of an installation: services and links, and that a failure of any of them leaves the
release in force that was in force before.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import attempt, run, short_directory
from harness.node import machine as machines
from harness.node.install import OPTIONS, SOURCE
from harness.node.machine import PREFIX
from harness.node.requirements import program, requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.host.processes import Run
    from harness.node.install import Installed
    from harness.node.machine import Machine

UNITS = [f"runc-wrap-{name}" for name in ("decide.service", "decide.socket", "observe.service",
                                          "observe.socket")]  # fmt: skip
CHANGED_BY_APPLY = ("opt/runc-wrap/var", "opt/runc-wrap/lib/runtime")


@pytest.fixture(name="machine")
def empty_machine() -> Iterator[Machine]:
    """A machine without an installation."""
    with short_directory("machine") as directory, machines.machine(directory) as one:
        yield one


@pytest.fixture(name="node", scope="module")
def node_with_services(installed: Installed) -> Iterator[Machine]:
    """A machine with a release, whose services run; each test leaves it as it was."""
    with short_directory("machine") as directory, machines.machine(directory) as one:
        done = one.install(one.new_release(installed, "000000"))
        assert done.returncode == 0, done.stdout + done.stderr
        yield one


def test_units_are_enabled_and_commands_manual_and_completions_linked(
    machine: Machine, installed: Installed
) -> None:
    done = machine.install(machine.new_release(installed, "000000"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.calls() == ["daemon-reload", f"enable --now {' '.join(UNITS)}"]
    assert all(machine.is_active(unit) for unit in UNITS)
    for link in (
        "/usr/local/bin/runc-wrap",
        "/usr/local/share/man/man1/runc-wrapctl.1",
        "/usr/local/share/bash-completion/completions/runc-wrapctl",
        "/usr/local/share/zsh/site-functions/_runc-wrapctl",
        "/usr/local/share/fish/vendor_completions.d/runc-wrapctl.fish",
    ):
        assert machine.run("test", "-s", link, "-a", "-L", link).returncode == 0, link
    assert machine.run("/usr/local/bin/runc-wrapctl", "--help").returncode == 0
    assert "Seccomp: 2   with runc-wrap" in done.stdout


def test_an_upgrade_restarts_what_runs_in_one_job_and_leaves_what_its_owner_stopped(
    machine: Machine, installed: Installed
) -> None:
    machine.install(machine.new_release(installed, "000000"))
    (machine.directory / "state" / UNITS[0]).write_text("inactive\n")
    machine.calls()
    done = machine.install(machine.new_release(installed, "000001"))
    assert done.returncode == 0, done.stderr
    assert machine.calls() == ["daemon-reload", f"restart {UNITS[2]}"]
    assert not machine.is_active(UNITS[0])


def test_units_of_another_prefix_are_not_replaced(machine: Machine, installed: Installed) -> None:
    unit = machine.directory / "units" / UNITS[0]
    unit.write_text("[Service]\nExecStart=/srv/p/bin/runc-wrapctl agent decide\n")
    done = machine.install(machine.new_release(installed, "000000"))
    assert done.returncode == 0, done.stderr
    assert f"No services: /etc/systemd/system/{UNITS[0]} is another installation's." in done.stdout
    assert unit.read_text().startswith("[Service]\nExecStart=/srv/p")
    assert machine.calls() == []


def test_units_of_the_first_release_make_way_for_the_services(
    machine: Machine, installed: Installed
) -> None:
    former = ["runc-wrap-agent.socket", "runc-wrap-agent.service"]
    for name in former:
        (machine.directory / "units" / name).write_text(f"[Unit]\nExecStart={PREFIX}/bin/x\n")
        (machine.directory / "state" / name).write_text("active\n")
    before = machine.listing(without=("opt",))
    machine.tell("fails", "enable")
    failed = machine.install(machine.new_release(installed, "000000"))
    assert failed.returncode == 1
    assert all(machine.is_active(name) for name in former)
    assert machine.listing(without=("opt",)) == before
    held = machine.prefix / "var" / "agent" / "listeners" / "seccomp-1.json"
    held.parent.mkdir(parents=True)
    held.touch()
    refused = machine.install(machine.new_release(installed, "000000"))
    assert "holds the listeners of 1 processes in mode observe" in refused.stderr
    held.unlink()
    assert machine.install(machine.new_release(installed, "000000")).returncode == 0
    assert not any((machine.directory / "units" / name).exists() for name in former)
    assert not any(machine.is_active(name) for name in former)


def _settings(text: str) -> Callable[[Machine, Path], None]:
    def prepare(machine: Machine, _release: Path) -> None:
        (machine.prefix / "etc" / "config.toml").write_text(text)

    return prepare


def _told(name: str, value: str) -> Callable[[Machine, Path], None]:
    def prepare(machine: Machine, _release: Path) -> None:
        machine.tell(name, value)

    return prepare


def _damaged_hook(machine: Machine, release: Path) -> None:
    path = machine.directory / "opt" / release.relative_to("/opt") / "hooks"
    next(path.glob("*.d/*.json")).write_text("{")


def _occupied(name: str) -> Callable[[Machine, Path], None]:
    def prepare(machine: Machine, _release: Path) -> None:
        (machine.prefix / name).unlink(missing_ok=True)
        (machine.prefix / name / "x").mkdir(parents=True)

    return prepare


def _read_only_local(machine: Machine, release: Path) -> None:
    page = machine.directory / "opt" / release.relative_to("/opt") / "share/man/man1/new.1"
    page.write_text("new\n")
    run([*machine.space.prefix, "mount", "-o", "remount,bind,ro", "/usr/local"])


def _damaged_record(machine: Machine, _release: Path) -> None:
    (machine.prefix / "lib" / "installation.json").write_text("{")


def _launcher_that_confines_nothing(machine: Machine, release: Path) -> None:
    launcher = machine.directory / "opt" / release.relative_to("/opt") / "runc-wrap"
    launcher.write_text(f'#!/bin/sh\nexec {program("runc")} "$@"\n')


AGAIN = "then run install.sh again"
FAILURES: dict[str, tuple[Callable[[Machine, Path], None], str, str]] = {
    "the record": (_damaged_record, "installation.json is damaged", "remove it, and install again"),
    "the hooks": (_damaged_hook, "Expecting property name", "unpack the archive or the checkout"),
    "the policy": (_settings("nonsense\n"), "config.toml: Expected", f"correct that, {AGAIN}"),
    "before the switch": (
        _occupied("bin/.runc-wrap.former"), "Is a directory",
        f"move away what is there (`ls -ld {PREFIX}/bin` shows it), {AGAIN}",
    ),
    "after the switch": (
        _occupied("hooks"), "Is a directory",
        f"move away what is there (`ls -ld {PREFIX}` shows it), {AGAIN}",
    ),
    "units that cannot be loaded": (
        _told("fails", "daemon-reload"), "`systemctl daemon-reload`", "or give it --no-services",
    ),
    "services that do not start": (
        _told("fails", "restart"), "Job for it failed.", "or give it --no-services",
    ),
    "a service that ends": (
        _told("dead", UNITS[2]), f"{UNITS[2]} is failed; `journalctl -u", "mend what that says",
    ),
    "a signal": (_told("ends", "restart"), "it was ended by SIGTERM", "run install.sh again"),
    "the links": (
        _read_only_local, "Read-only file system", "mount that file system writable (`findmnt -T /",
    ),
    "the containers": (
        _launcher_that_confines_nothing, "WRONG: 2 was expected", "keep to another release",
    ),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_of_any_step_leaves_the_release_before_in_force(
    failure: str, node: Machine, installed: Installed
) -> None:
    prepare, told, advice = FAILURES[failure]
    before = node.listing(without=CHANGED_BY_APPLY)
    release = node.new_release(installed, "000001")
    prepare(node, release)
    done = node.install(release)
    _undo_preparation(node, before)
    assert done.returncode == 1, done.stdout
    assert told in done.stderr
    assert advice in done.stderr.partition(told)[2]
    assert failure == "the record" or "20260101000000.abcdef is in force as before" in done.stderr
    assert node.listing(without=CHANGED_BY_APPLY) == before
    assert all(node.is_active(unit) for unit in UNITS)
    assert node.ctl("selftest").returncode == 0


def _undo_preparation(node: Machine, before: dict[str, tuple[int, object]]) -> None:
    """Remove what the test itself put in the way."""
    run([*node.space.prefix, "mount", "-o", "remount,bind,rw", "/usr/local"])
    (node.prefix / "etc" / "config.toml").unlink(missing_ok=True)
    for name in ("fails", "dead", "ends"):
        (node.directory / name).unlink(missing_ok=True)
    for name in ("bin/.runc-wrap.former", "hooks"):
        if (node.prefix / name / "x").is_dir():
            (node.prefix / name / "x").rmdir()
            (node.prefix / name).rmdir()
    if not (node.prefix / "hooks").is_symlink():
        (node.prefix / "hooks").symlink_to("lib/current/hooks")
    record = node.prefix / "lib" / "installation.json"
    if record.read_text() == "{":
        text = before["opt/runc-wrap/lib/installation.json"][1]
        assert isinstance(text, bytes)
        record.write_bytes(text)
    node.ctl("apply")


def test_a_failure_of_the_first_installation_leaves_nothing_in_force(
    machine: Machine, installed: Installed
) -> None:
    before = machine.listing(without=("opt",))
    machine.tell("dead", UNITS[0])
    done = machine.install(machine.new_release(installed, "000000"))
    assert done.returncode == 1
    assert "nothing is in force" in done.stderr
    assert machine.listing(without=("opt",)) == before
    assert sorted(path.name for path in (machine.prefix / "bin").iterdir()) == []
    assert not list((machine.prefix / "lib" / "releases").iterdir())


def test_an_upgrade_removes_links_to_pages_that_are_gone(
    machine: Machine, installed: Installed
) -> None:
    first = machine.new_release(installed, "000000")
    page = machine.directory / "opt" / first.relative_to("/opt") / "share/man/man1/old.1"
    page.write_text("old\n")
    machine.install(first)
    link = machine.directory / "local/share/man/man1/old.1"
    assert link.is_symlink()
    machine.install(machine.new_release(installed, "000001"))
    assert not link.is_symlink()
    record = json.loads((machine.prefix / "lib" / "installation.json").read_text())
    assert not any("old.1" in name for name in record["links"])


def test_quiet_prints_nothing_and_services_can_be_left_out(
    machine: Machine, installed: Installed
) -> None:
    done = machine.install(machine.new_release(installed, "000000"), "--quiet", "--no-services")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls() == []
    assert list((machine.directory / "units").iterdir()) == []


# install.sh as a whole ----------------------------------------------------------------------------


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(tmp_path: Path) -> None:
    done = attempt([SOURCE / "install.sh", "--prefix", tmp_path / "p", "--dry-run"])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith("would ") for line in lines)
    for words in ("make a virtual environment", "compile the policy", "switch", "three containers"):
        assert any(words in line for line in lines), words
    assert list(tmp_path.iterdir()) == []


def _in_a_full_place(tmp_path: Path, *words: str | Path) -> Run:
    """Run install.sh for a prefix on a file system of 1 MiB."""
    prefix = tmp_path / "full"
    prefix.mkdir()
    mounted = f'mount -t tmpfs -o size=1m,mode=755 full {prefix} && exec "$@"'
    inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounted, "sh"]
    return attempt([*inside, *words, "--prefix", prefix, *OPTIONS], seconds=200)


def _with_a_failing_apt(tmp_path: Path, *words: str | Path) -> Run:
    """Run install.sh where runc must be installed and apt-get does not reach its sources."""
    failing = tmp_path / "apt-get"
    failing.write_text("#!/bin/sh\necho E: Temporary failure resolving deb.example >&2\nexit 100\n")
    failing.chmod(0o755)
    absent = [path for name in ("runc", "crun") if (path := shutil.which(name))]
    hide = " && ".join(f"mount --bind /dev/null {Path(path).resolve()}" for path in absent)
    apt = f"mount --bind {failing} {program('apt-get')}"
    inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    script = f'{hide} && {apt} && exec "$@"'
    return attempt([*inside, script, "sh", *words, "--prefix", tmp_path / "p", *OPTIONS])


def _without_an_index(tmp_path: Path, *words: str | Path) -> Run:
    index = ("--index-url", "http://127.0.0.1:9/simple")  # the port discard: nobody listens
    return attempt([*words, "--prefix", tmp_path / "p", *OPTIONS, *index], seconds=200)


@pytest.mark.parametrize(
    ("failing", "step", "advice"),
    [
        (_in_a_full_place, "Making a virtual environment", "make room where it says"),
        (_with_a_failing_apt, "Installing Debian's packages runc", "install runc by hand"),
        (_without_an_index, "Fetching Python packages", "(--index-url)"),
    ],
)
def test_a_step_of_install_sh_that_fails_says_what_to_do(
    failing: Callable[..., Run], step: str, advice: str, tmp_path: Path
) -> None:
    requires("runc", "apt-get", "unshare", root=True)
    done = failing(tmp_path, SOURCE / "install.sh")
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f'install.sh: "{step}'), done.stderr
    assert "failed; what was in force before is in force. Try: " in last
    assert advice in last
    assert last.endswith("; then run install.sh again.")
    assert not [*tmp_path.glob("*/lib/releases/*")]


HIDDEN = ("cc", "gcc", "musl-gcc", "apt-get")  # as where there is neither compiler nor Debian


def _install_without_a_compiler(checkout: Path, prefix: Path) -> Run:
    found = [path for name in HIDDEN if (path := shutil.which(name))]
    hide = " && ".join(f"mount --bind /dev/null {Path(path).resolve()}" for path in found)
    inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{hide} && exec "$@"']
    words: list[str | Path] = [checkout / "install.sh", "--prefix", prefix, *OPTIONS]
    return attempt([*inside, "sh", *words], seconds=200)


@pytest.fixture(name="checkout")
def copied_checkout(tmp_path: Path) -> Path:
    """A copy of what install.sh needs of the checkout."""
    copy = tmp_path / "beside" / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("runc_wrap", "requirements", "hooks", "deploy"):
        shutil.copytree(SOURCE / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE", "install.sh"):
        shutil.copy(SOURCE / name, copy)
    return copy


def test_without_a_compiler_the_launcher_of_an_archive_beside_is_taken(
    checkout: Path, installed: Installed, tmp_path: Path
) -> None:
    requires("runc", "unshare", root=True)
    release = checkout.parent / "runc-wrap-0.2.0-linux-any" / "lib" / "releases" / "0.2.0"
    package = release / "venv/lib/python3.13/site-packages/runc_wrap/launcher"
    package.parent.mkdir(parents=True)
    shutil.copytree(SOURCE / "runc_wrap" / "launcher", package)
    (release / "venv" / "bin").mkdir()
    (release / "venv" / "bin" / "python").symlink_to("/usr/bin/python3")
    shutil.copy(installed.release / "runc-wrap", release)
    with (package / "launcher.c").open("a") as file:
        file.write("/* another version */\n")

    done = _install_without_a_compiler(checkout, tmp_path / "p")
    assert done.returncode == 0, done.stderr
    assert "asks no service: every create starts Python" in done.stdout
    assert "unpack the release archive of this version beside this checkout" in done.stdout
    assert (tmp_path / "p" / "bin" / "runc-wrap").read_bytes().startswith(b"#!/bin/sh\n")

    shutil.copy(SOURCE / "runc_wrap/launcher/launcher.c", package)
    done = _install_without_a_compiler(checkout, tmp_path / "p")
    assert done.returncode == 0, done.stderr
    wrapper = tmp_path / "p" / "bin" / "runc-wrap"
    assert wrapper.read_bytes() == (installed.release / "runc-wrap").read_bytes()
    assert "Seccomp: 2   with runc-wrap" in done.stdout
