"""How many descriptors systemd keeps, where it does not say so in $FDSTORE (before 254)."""

from pathlib import Path

import pytest

from runc_wrap.host import procfs, systemd
from tests.unit.node import machine

NOTIFY = {"NOTIFY_SOCKET": "/run/systemd/notify"}
UNIT = "runc-wrap-observe.service"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the units that systemctl was asked about; it answers 1024."""
    found: list[str] = []

    def show(units: list[str], name: str) -> dict[str, dict[str, str]]:
        found.extend(units)
        return {units[0]: {name: "1024"}}

    monkeypatch.setattr(systemd, "show", show)
    return found


@pytest.mark.parametrize("given", ["64", "0", "-1", "many", ""])
def test_systemds_own_word_counts(asked: list[str], given: str) -> None:
    environment = {"FDSTORE": given, **NOTIFY} if given else {}
    assert (systemd.kept_descriptors(environment), asked) == (64 if given == "64" else 0, [])


CGROUPS = [
    (f"0::/system.slice/{UNIT}\n", UNIT),
    (f"9:pids:/x\n1:name=systemd:/system.slice/{UNIT}\n", UNIT),
    ("0::/system.slice/a@b\\x2d1.service\n", "a@b\\x2d1.service"),
    (f"9:pids:/system.slice/{UNIT}\n", None),
    ("0::/user.slice/session.scope\n", None),
    ("0::/system.slice/--help.service;x\n", None),
    ("", None),
]


@pytest.mark.parametrize(("cgroup", "unit"), CGROUPS)
def test_an_older_systemd_is_asked_about_the_unit_of_this_process(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, cgroup: str, unit: str | None
) -> None:
    monkeypatch.setattr(procfs, "read", lambda _path: cgroup.encode())
    found = systemd.kept_descriptors(NOTIFY)
    assert (found, asked) == ((1024, [unit]) if unit else (0, []))


@pytest.mark.parametrize("said", ["0", "", "infinity"])
def test_without_a_clear_answer_no_store_is(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(systemd, "show", lambda units, name: {units[0]: {name: said}})
    monkeypatch.setattr(procfs, "read", lambda _path: f"0::/system.slice/{UNIT}\n".encode())
    assert systemd.kept_descriptors(NOTIFY) == 0
    monkeypatch.setattr(procfs, "read", lambda _path: None)
    assert systemd.kept_descriptors(NOTIFY) == 0


def test_what_systemctl_says_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "show) printf 'Id=a\\nX=1=2\\n\\nId=b\\nX=\\n' ;;"
    says = f"case $1 in --version) echo systemd 252 ;; {shown} *) echo no room >&2; exit 1 ;; esac"
    machine.fake(machine.empty(tmp_path, monkeypatch), "systemctl", says)
    assert systemd.version() == 252
    shown_of = systemd.show(["a", "b"], "Id", "X")
    assert shown_of == {"a": {"Id": "a", "X": "1=2"}, "b": {"Id": "b", "X": ""}}
    assert systemd.failure("restart", "x") == "`systemctl restart x` failed: no room"
