"""doctor on the services, with a simulated systemctl that keeps the units' states in files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runc_wrap.doctor.service_checks import service_units, services_run
from runc_wrap.host import systemd
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.doctor.check_finding import Finding
    from tests.unit.cli.ctl import Node

# enable --now and restart start the units named after them; what was asked is in `asked`
SYSTEMCTL = """cd {states} || exit 1
echo "$*" >> asked
case $1 in
    --version) echo "systemd $(cat version) (~)" ;;
    show) shift 3; first=; for unit; do $first; cat "$unit"; first=echo; done ;;
    daemon-reload) sed -i 's/^NeedDaemonReload=.*/NeedDaemonReload=no/' *.service *.socket ;;
    enable | restart)
        [ ! -e refuses ] || {{ echo no room >&2; exit 1; }}
        [ "$1" = restart ] && shift || shift 2
        for unit; do
            sed -i 's/^ActiveState=.*/ActiveState=active/; s/^MainPID=.*/MainPID=0/' "$unit"
            sed -i 's/^UnitFileState=.*/UnitFileState=enabled/' "$unit"
        done ;;
    *) exit 1 ;;
esac"""
DECIDE, SOCKET = "runc-wrap-decide.service", "runc-wrap-decide.socket"
OBSERVE = "runc-wrap-observe.service"


@pytest.fixture
def states(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the units' states: all are installed, enabled and running."""
    directory = tmp_path / "states"
    directory.mkdir()
    (directory / "version").write_text("257")
    for unit in [unit for name in service_units.SERVICES for unit in service_units.both(name)]:
        program = f"{node.places.prefix}/bin/runc-wrapctl"
        (directory / unit).write_text(
            f"Id={unit}\nLoadState=loaded\nUnitFileState=enabled\nActiveState=active\n"
            f"Result=success\nNeedDaemonReload=no\nNRestarts=7\nMainPID=0\n"
            f"ExecStart={{ path={program} ; argv[]={program} agent ; ignore_errors=no }}\n"
        )
    machine.fake(node.programs, "systemctl", SYSTEMCTL.format(states=directory))
    monkeypatch.setattr(systemd, "BOOTED", directory)
    return directory


def _change(states: Path, unit: str, name: str, value: str) -> None:
    lines = (states / unit).read_text().splitlines()
    new = [f"{name}={value}" if line.startswith(f"{name}=") else line for line in lines]
    (states / unit).write_text("\n".join(new) + "\n")


def _found(node: Node) -> list[Finding]:
    return list(services_run.find(node.places))


@pytest.mark.usefixtures("states")
def test_running_services_are_no_finding(node: Node) -> None:
    assert _found(node) == []


def test_without_systemd_or_units_there_is_no_finding(
    node: Node, states: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for unit in (DECIDE, OBSERVE):
        _change(states, unit, "LoadState", "not-found")
    assert _found(node) == []
    _change(states, DECIDE, "LoadState", "loaded")
    _change(states, DECIDE, "ActiveState", "failed")
    assert len(_found(node)) == 1
    monkeypatch.setattr(systemd, "BOOTED", states / "absent")
    assert _found(node) == []


STATES = [  # what is changed, words, the command
    (
        (DECIDE, "ActiveState", "failed"),
        "has failed (result: success)",
        f"restart {SOCKET} {DECIDE}",
    ),
    ((SOCKET, "ActiveState", "failed"), "has failed", f"restart {SOCKET} {DECIDE}"),
    ((DECIDE, "ActiveState", "inactive"), "does not run", f"enable --now {SOCKET} {DECIDE}"),
    ((SOCKET, "ActiveState", "inactive"), "does not run", f"enable --now {SOCKET} {DECIDE}"),
    ((DECIDE, "UnitFileState", "disabled"), "not run after", f"enable --now {SOCKET} {DECIDE}"),
    ((OBSERVE, "NeedDaemonReload", "yes"), "before it was changed", "daemon-reload"),
]


@pytest.mark.parametrize(("change", "words", "command"), STATES)
def test_a_service_in_a_wrong_state_is_found_mended_and_gone(
    node: Node, states: Path, change: tuple[str, str, str], words: str, command: str
) -> None:
    _change(states, *change)
    [found] = _found(node)
    assert (found.severity, words in found.sentence) == ("warning", True)
    assert found.command == f"systemctl {command}"
    assert found.fix
    found.fix()
    assert command in (states / "asked").read_text().splitlines()
    assert _found(node) == []


def test_a_fix_that_systemctl_refuses_is_told(node: Node, states: Path) -> None:
    _change(states, DECIDE, "ActiveState", "failed")
    (states / "refuses").touch()
    told = node.ctl("doctor", "--fix").stdout
    assert f"`systemctl restart {SOCKET} {DECIDE}` failed: no room" in told


@pytest.mark.parametrize(
    ("enabled", "mode", "severity"),
    [
        ("enabled", "enforce", "warning"),
        ("disabled", "enforce", "note"),
        ("disabled", "observe", "warning"),
    ],
)
def test_a_stopped_service_is_only_a_note_if_nothing_needs_or_starts_it(
    node: Node, states: Path, enabled: str, mode: str, severity: str
) -> None:
    node.configure(f'[default]\nmode = "{mode}"\n')
    assert node.ctl("apply").exit_code == 0
    for unit in service_units.both("decide"):
        _change(states, unit, "ActiveState", "inactive")
        _change(states, unit, "UnitFileState", enabled)
    [found] = _found(node)
    assert (found.severity, f"{DECIDE} does not run" in found.sentence) == (severity, True)


@pytest.mark.parametrize("state", ["activating", "deactivating"])
def test_a_service_that_never_starts_is_a_warning(node: Node, states: Path, state: str) -> None:
    _change(states, DECIDE, "ActiveState", state)
    [found] = _found(node)
    assert (found.severity, found.fix) == ("warning", None)
    assert "ends whenever systemd starts it (7 times)" in found.sentence
    assert found.command == f"journalctl -u {DECIDE}"
    _change(states, DECIDE, "NRestarts", "2")
    assert _found(node) == []


def test_a_masked_service_is_a_note_and_not_mended(node: Node, states: Path) -> None:
    _change(states, DECIDE, "LoadState", "masked")
    [found] = _found(node)
    assert (found.severity, found.fix) == ("note", None)
    assert found.command == f"systemctl unmask {SOCKET} {DECIDE}"


def test_the_services_of_another_installation_are_not_touched(node: Node, states: Path) -> None:
    _change(states, DECIDE, "ExecStart", "{ path=/other/bin/runc-wrapctl ; argv[]=x }")
    _change(states, DECIDE, "ActiveState", "failed")
    [found] = _found(node)
    assert (found.severity, found.fix) == ("warning", None)
    assert "starts /other/bin/runc-wrapctl, not this" in found.sentence


def test_a_link_to_the_prefix_is_the_same_installation(
    node: Node, states: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(node.places.prefix)
    program = f"{tmp_path}/link/bin/runc-wrapctl"
    _change(states, DECIDE, "ExecStart", f"{{ path={program} ; argv[]=x }}")
    assert _found(node) == []


@pytest.fixture
def running(node: Node, states: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two releases, of which the first is installed; the test's process is the service."""
    releases = node.places.prefix / "lib" / "releases"
    for name in ("new", "old"):
        (releases / name).mkdir(parents=True)
        (releases / name / "file").write_text("x")
    (releases.parent / "current").unlink()
    (releases.parent / "current").symlink_to("releases/new")
    _change(states, DECIDE, "MainPID", str(os.getpid()))
    yield releases
    monkeypatch.undo()


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_service_of_another_release_is_found_and_restarted(
    node: Node, running: Path, states: Path, name: str
) -> None:
    import mmap  # noqa: PLC0415

    with (running / name / "file").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        found = _found(node)
        told = f"{DECIDE} runs the release old, and new is installed"
        assert [each.sentence for each in found] == ([told] if name == "old" else [])
        for each in found:
            assert each.fix
            each.fix()
            assert f"restart {DECIDE}" in (states / "asked").read_text().splitlines()
    finally:
        mapped.close()


@pytest.mark.parametrize(
    ("mode", "version", "is_found"),
    [
        ("observe", "252", True),
        ("observe", "253", True),
        ("observe", "254", False),
        ("audit", "252", False),
    ],
)
def test_an_old_systemd_is_a_warning_if_observe_is_used(
    node: Node, states: Path, mode: str, version: str, *, is_found: bool
) -> None:
    (states / "version").write_text(version)
    node.configure(f'[default]\nmode = "{mode}"\n')
    assert node.ctl("apply").exit_code == 0
    assert [f"systemd {version} drops" in each.sentence for each in _found(node)] == (
        [True] * is_found
    )
