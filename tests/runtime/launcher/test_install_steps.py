"""The steps of an installation: services and links, and that a failure of any of them leaves the
release in force that was in force before.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import run, short_directory
from harness.node import machine as machines
from harness.node.machine import PREFIX
from harness.node.requirements import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.node.install import Installed
    from harness.node.machine import Machine

UNITS = [f"runc-wrap-{name}" for name in ("decide.service", "decide.socket", "observe.service",
                                          "observe.socket")]  # fmt: skip
IN_THE_WAY = "local/share/man/man1/.new.1.link.new"  # of a link that is made there
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


def _add_page(machine: Machine, release: Path) -> None:
    page = machine.directory / "opt" / release.relative_to("/opt") / "share/man/man1/new.1"
    page.write_text("new\n")


def _link_occupied(machine: Machine, release: Path) -> None:
    _add_page(machine, release)
    (machine.directory / IN_THE_WAY).mkdir()


def _set_local(machine: Machine, mode: str) -> None:
    run([*machine.space.prefix, "mount", "-o", f"remount,bind,{mode}", "/usr/local"])


def _damaged_record(machine: Machine, _release: Path) -> None:
    (machine.prefix / "lib" / "installation.json").write_text("{")


def _launcher_that_confines_nothing(machine: Machine, release: Path) -> None:
    launcher = machine.directory / "opt" / release.relative_to("/opt") / "runc-wrap"
    launcher.write_text(f'#!/bin/sh\nexec {program("runc")} "$@"\n')


AGAIN = "then run install.sh again"
FAILURES: dict[str, tuple[Callable[[Machine, Path], None], str, str]] = {
    "the record": (_damaged_record, "installation.json cannot be used", "and install again"),
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
        _link_occupied, "File exists", "what is there (`ls -ld /usr/local/share/man/man1`",
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
    shutil.rmtree(node.directory / IN_THE_WAY, ignore_errors=True)
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


LEFT_OUT = "is read-only: links to commands, manual and completions are left out. The commands are"
READ_ONLY = "its file system is read-only now"


def test_all_but_the_links_is_installed_where_usr_is_read_only(
    machine: Machine, installed: Installed
) -> None:
    before = machine.listing()
    _set_local(machine, "ro")
    done = machine.install(machine.new_release(installed, "000000"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"/usr/local {LEFT_OUT} in {PREFIX}/bin.\n") == 1
    assert all(machine.is_active(unit) for unit in UNITS)
    assert machine.ctl("doctor").returncode == 0
    done = machine.ctl("uninstall", "--purge")
    assert (done.returncode, "left:" in done.stdout) == (0, False), done.stderr
    assert machine.listing() == before


def test_links_that_became_read_only_lead_to_a_new_release_and_are_left_in_the_end(
    machine: Machine, installed: Installed
) -> None:
    machine.install(machine.new_release(installed, "000000"))
    _set_local(machine, "ro")
    release = machine.new_release(installed, "000001")
    _add_page(machine, release)
    done = machine.install(release)
    assert done.returncode == 0, done.stderr
    assert f"/usr/local/share/man/man1 {LEFT_OUT}" in done.stdout
    assert machine.run("/usr/local/bin/runc-wrapctl", "selftest").returncode == 0
    told = _removed(
        machine, "rm: cannot remove '/usr/local/bin/runc-wrapctl': Read-only file system\n"
    )
    for name in ("bin/runc-wrap", "bin/runc-wrapctl", "share/man/man1/runc-wrapctl.1"):
        assert f"left: /usr/local/{name}: {READ_ONLY}\n" in told
    assert "new.1" not in told


def test_recorded_links_that_are_gone_from_a_read_only_usr_keep_no_removal_back(
    machine: Machine, installed: Installed
) -> None:
    """As after another image of /usr."""
    machine.install(machine.new_release(installed, "000000"))
    shutil.rmtree(machine.directory / "local" / "share")
    for link in (machine.directory / "local" / "bin").iterdir():
        link.unlink()
    _set_local(machine, "ro")
    assert READ_ONLY not in _removed(machine)


def _removed(machine: Machine, complaint: str = "") -> str:
    done = machine.ctl("uninstall", "--purge")
    assert (done.returncode, done.stderr) == (0, complaint)
    assert not machine.prefix.exists()
    return done.stdout


def test_quiet_prints_nothing_and_services_can_be_left_out(
    machine: Machine, installed: Installed
) -> None:
    done = machine.install(machine.new_release(installed, "000000"), "--quiet", "--no-services")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls() == []
    assert list((machine.directory / "units").iterdir()) == []
