"""doctor on the services, by what systemd shows; a real one: tests/boxes/test_install.py."""

import os
from pathlib import Path

import pytest

from runc_wrap.doctor import service_checks
from runc_wrap.doctor.remedies import Finding
from runc_wrap.host import systemd
from runc_wrap.installation import services
from tests.unit.cli.ctl import Node

DECIDE, SOCKET = "runc-wrap-decide.service", "runc-wrap-decide.socket"
OBSERVE = "runc-wrap-observe.service"


def _program(path: Path | str) -> str:
    return f"{{ path={path}/bin/runc-wrapctl ; argv[]=x ; ignore_errors=no }}"


class Systemd:
    """What it shows of each unit: all are installed, enabled and running; it refuses commands."""

    def __init__(self, prefix: Path) -> None:
        well = {"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active",
                "Result": "success", "NeedDaemonReload": "no", "NRestarts": "7", "MainPID": "0",
                "ExecStart": _program(prefix)}  # fmt: skip
        units = (unit for name in services.SERVICES for unit in services.both(name))
        self.units = {unit: dict(well) for unit in units}
        self.asked: list[str] = []
        self.is_there, self.number = True, 257

    def fails(self, *words: str) -> str:
        self.asked.append(" ".join(words))
        return "no room"


@pytest.fixture
def states(node: Node, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    found = Systemd(node.places.prefix)
    monkeypatch.setattr(systemd, "is_booted", lambda: found.is_there)
    monkeypatch.setattr(systemd, "version", lambda: found.number)
    monkeypatch.setattr(systemd, "show", lambda *_: found.units)
    monkeypatch.setattr(systemd, "failure", found.fails)
    return found


def _found(node: Node) -> list[Finding]:
    return list(service_checks.services(node.places))


def test_without_systemd_or_units_there_is_no_finding(
    node: Node, states: Systemd, tmp_path: Path
) -> None:
    assert _found(node) == []
    (tmp_path / "link").symlink_to(node.places.prefix)  # is the same installation
    states.units[DECIDE]["ExecStart"] = _program(tmp_path / "link")
    assert _found(node) == []
    for unit in (DECIDE, OBSERVE):
        states.units[unit]["LoadState"] = "not-found"
    assert _found(node) == []
    states.units[DECIDE] |= {"LoadState": "loaded", "ActiveState": "failed"}
    assert len(_found(node)) == 1
    states.is_there = False
    assert _found(node) == []


STATES = [  # what is changed, words, the command
    ((DECIDE, "ActiveState", "failed"), "has failed (result: success)", "restart {both}"),
    ((SOCKET, "ActiveState", "failed"), "has failed", "restart {both}"),
    ((DECIDE, "ActiveState", "inactive"), "does not run", "enable --now {both}"),
    ((SOCKET, "ActiveState", "inactive"), "does not run", "enable --now {both}"),
    ((DECIDE, "UnitFileState", "disabled"), "not run after", "enable --now {both}"),
    ((OBSERVE, "NeedDaemonReload", "yes"), "before it was changed", "daemon-reload"),
]


@pytest.mark.parametrize(("change", "words", "command"), STATES)
def test_a_service_in_a_wrong_state_is_found_and_what_is_said_mends_it(
    node: Node, states: Systemd, change: tuple[str, str, str], words: str, command: str
) -> None:
    unit, name, value = change
    states.units[unit][name] = value
    [found] = _found(node)
    assert (found.severity, words in found.sentence) == ("warning", True)
    command = command.format(both=f"{SOCKET} {DECIDE}")
    assert found.command == f"systemctl {command}"
    assert "no room" in node.ctl("doctor", "--fix").stdout
    assert command in states.asked


@pytest.mark.parametrize("mode", ["enforce", "observe"])
@pytest.mark.parametrize("enabled", ["enabled", "disabled"])
def test_a_stopped_service_is_only_a_note_if_nothing_needs_or_starts_it(
    node: Node, states: Systemd, enabled: str, mode: str
) -> None:
    severity = "note" if (enabled, mode) == ("disabled", "enforce") else "warning"
    node.apply(f'[default]\nmode = "{mode}"\n')
    for unit in services.both("decide"):
        states.units[unit] |= {"ActiveState": "inactive", "UnitFileState": enabled}
    [found] = [one for one in _found(node) if f"{DECIDE} does not run" in one.sentence]
    assert found.severity == severity


UNMENDED: list[tuple[dict[str, str], str, str, str]] = [
    ({"ActiveState": "activating"}, "warning", "starts it (7 times)", f"journalctl -u {DECIDE}"),
    ({"ActiveState": "deactivating"}, "warning", "starts it (7 times)", f"journalctl -u {DECIDE}"),
    ({"LoadState": "masked"}, "note", "is masked", f"systemctl unmask {SOCKET} {DECIDE}"),
    ({"ExecStart": _program("/other"), "ActiveState": "failed"}, "warning",
     "starts /other/bin/runc-wrapctl, not this", ""),
]  # fmt: skip


@pytest.mark.parametrize("case", UNMENDED)
def test_what_is_not_ours_to_mend_is_said(
    node: Node, states: Systemd, case: tuple[dict[str, str], str, str, str]
) -> None:
    change, severity, words, command = case
    states.units[DECIDE] |= change
    [found] = _found(node)
    assert (found.severity, found.fix, found.command) == (severity, None, command)
    assert words in found.sentence
    states.units[DECIDE] |= {"NRestarts": "2"}  # it may be just beginning
    assert bool(_found(node)) is not words.endswith("times)")


@pytest.fixture
def running(node: Node, states: Systemd) -> Path:
    """Two releases, of which the first is installed; the test's process is the service."""
    releases = node.places.prefix / "lib" / "releases"
    for name in ("new", "old"):
        (releases / name).mkdir(parents=True)
        (releases / name / "file").write_text("x")
    (releases.parent / "current").unlink()
    (releases.parent / "current").symlink_to("releases/new")
    states.units[DECIDE]["MainPID"] = str(os.getpid())
    return releases


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_service_of_another_release_is_restarted(node: Node, running: Path, name: str) -> None:
    import mmap  # noqa: PLC0415

    with (running / name / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, access=1):
        found = _found(node)
    told = f"{DECIDE} runs the release old, and new is installed"
    assert [each.sentence for each in found] == ([told] if name == "old" else [])
    assert [each.command for each in found] == [f"systemctl restart {DECIDE}"] * len(found)
    assert all(each.fix for each in found)


@pytest.mark.parametrize("version", [252, 253, 254])
@pytest.mark.parametrize("setting", ['mode = "observe"', "record = true", 'mode = "audit"'])
def test_an_old_systemd_is_a_warning_if_the_agent_is_asked(
    node: Node, states: Systemd, setting: str, version: int
) -> None:
    states.number = version
    node.apply(f"[default]\n{setting}\n")
    found = [f"systemd {version} drops" in each.sentence for each in _found(node)]
    assert found == [True] * ("audit" not in setting and version < 254)
