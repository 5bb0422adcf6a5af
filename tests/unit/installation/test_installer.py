"""The second half of install.sh, with releases that have only a launcher and a command."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from harness.host import disk_faults
from harness.host.disk_faults import Tree
from runc_wrap.failure import Failure
from runc_wrap.host import change_set, files, ownership, program, systemd
from runc_wrap.installation import dry_run, installer, links, releases, services, uninstaller
from runc_wrap.node.paths import Places

UNITS = Path(__file__).resolve().parents[3] / "deploy" / "systemd"


def test_it_starts_by_its_path_and_says_what_would_be_done(tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-S", str(dry_run.__file__), "--prefix", str(tmp_path)]
    words += ["--units", str(UNITS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"would compile the policy in {tmp_path}/etc\n")


UNIT = "runc-wrap-decide.service"


@pytest.mark.parametrize("others", ["/srv/opt/runc-wrap", "/opt/runc-wrap-2"])
@pytest.mark.parametrize("place", ["UNITS", "VENDOR"])
def test_units_are_anothers_unless_they_name_this_very_prefix(
    others: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = "/opt/runc-wrap"
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)
    monkeypatch.setattr(systemd, place, tmp_path)
    unit = tmp_path / UNIT
    for its, told in ((others, f"{unit} is another installation's"), (prefix, "")):
        unit.write_text(f"[Service]\nExecStart={its}/bin/runc-wrapctl --prefix {its} agent\n")
        assert services.obstacle(Path(prefix), [UNIT]) == told
        assert list(services.installed(Path(prefix))) == [UNIT] * (not told and place == "UNITS")


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """This process' signals are as before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _release(prefix: Path, name: str, selftest: str) -> Path:
    release = prefix / "lib" / "releases" / name
    command = release / "venv" / "bin" / "runc-wrapctl"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\ncase $1 in selftest) {selftest} ;; esac\n")
    command.chmod(0o755)
    (release / "runc-wrap").write_text(name)
    page = release / "share" / "man" / "man1" / "runc-wrapctl.1"
    page.parent.mkdir(parents=True)
    page.touch()
    return release


@pytest.fixture(name="prefix")
def with_a_release(tmp_path: Path) -> Path:
    prefix = tmp_path / "prefix"
    _release(prefix, "1.000000", "exit 0")
    (prefix / "lib" / "current").symlink_to("releases/1.000000")
    (prefix / "bin").mkdir()
    (prefix / "bin" / "runc-wrap").write_text("1.000000")
    return prefix


def _install(prefix: Path, selftest: str, name: str = "2.000000") -> int:
    release = _release(prefix, name, selftest)
    words = ["--prefix", str(prefix), "--release", str(release), "--no-services", "--quiet"]
    return installer.main(words)


def _in_force(prefix: Path) -> tuple[str, str]:
    return (prefix / "lib" / "current").readlink().name, (prefix / "bin" / "runc-wrap").read_text()


def test_a_path_that_was_handed_over_is_ours_again(prefix: Path) -> None:
    wrapper = prefix / "bin" / "runc-wrap"
    wrapper.unlink()
    wrapper.symlink_to("/bin/true")
    assert _install(prefix, "exit 1") == 1
    assert str(wrapper.readlink()) == "/bin/true"
    assert _install(prefix, "exit 0", "3.000000") == 0
    assert not wrapper.is_symlink()
    assert (wrapper.read_text(), wrapper.stat().st_mode & 0o777) == ("3.000000", 0o755)


def test_the_release_before_stays_for_creates_that_are_under_way(prefix: Path) -> None:
    for name, before in (("2.000000", "1.000000"), ("3.000000", "2.000000")):
        assert _install(prefix, "exit 0", name) == 0
        assert _in_force(prefix) == (name, name)
        assert {one.name for one in (prefix / "lib" / "releases").iterdir()} == {name, before}


def test_what_a_killed_one_put_in_force_is_not_the_release_before(prefix: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(change_set, "close", lambda _: None)
        assert _install(prefix, "exit 0") == 0
    assert _in_force(prefix) == ("2.000000", "2.000000")
    assert _install(prefix, "exit 1", "3.000000") == 1
    assert _in_force(prefix) == ("1.000000", "1.000000")


def test_a_failed_upgrade_leaves_units_as_they_were_and_runs_what_ran(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real units: tests/boxes/test_install.py."""
    failure = Mock(return_value="")

    monkeypatch.setattr(systemd, "UNITS", tmp_path / "units")
    monkeypatch.setattr(services, "obstacle", lambda *_: "")
    monkeypatch.setattr(services, "texts", lambda *_: {"a.service": "new", "b.service": "new"})
    monkeypatch.setattr(systemd, "state", lambda _: "active")
    monkeypatch.setattr(systemd, "is_masked", lambda _: False)
    monkeypatch.setattr(systemd, "failure", failure)
    systemd.UNITS.mkdir()
    (systemd.UNITS / "a.service").write_text("old")
    release = _release(prefix, "2.000000", "exit 1")
    assert installer.main(["--prefix", str(prefix), "--release", str(release), "--quiet"]) == 1
    assert [" ".join(call.args) for call in failure.call_args_list] == [
        "daemon-reload", "enable --now b.service", "restart a.service",
        "disable --now b.service", "daemon-reload", "restart a.service",
    ]  # fmt: skip
    found = {one.name: one.read_text() for one in systemd.UNITS.iterdir()}
    assert found == {"a.service": "old"}


def test_a_second_ctrl_c_does_not_keep_the_release_before_from_being_in_force_again(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_back(of: Path) -> list[str]:
        signal.raise_signal(signal.SIGINT)
        return original(of)

    original = releases.take_back
    monkeypatch.setattr(releases, "take_back", take_back)
    monkeypatch.setattr(installer, "_end", lambda *_: None)  # the first call is before any step
    assert _install(prefix, "exit 1") == 1
    assert _in_force(prefix) == ("1.000000", "1.000000")


@pytest.fixture(name="local")
def with_links(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory for links, which this prefix gets as if it were the default one."""
    local = prefix / "local"  # in it, for the model of the disk
    local.mkdir()
    monkeypatch.setattr(links, "DEFAULT_PREFIX", str(prefix))
    monkeypatch.setattr(links, "LOCAL", local)
    monkeypatch.setattr(ownership, "of", lambda _path: ())
    return local


def _sync(_name: str, _option: str, directory: str, *, seconds: float) -> None:
    """Do what `sync -f` does to the whole file system, as the model of the disk sees it."""
    del seconds
    for place, _, names in os.walk(Path(directory).parents[2]):
        files.sync(place)
        for name in names:
            with Path(place, name).open("rb") as file:
                os.fsync(file.fileno())


def _state(tree: Tree) -> tuple[str, Any]:
    """Return the name of the release in force, and the launcher."""
    return str(tree.get("lib/current", "")).rpartition("/")[2], tree.get("bin/runc-wrap")


@pytest.mark.parametrize("is_first", [True, False])
def test_after_a_kill_or_a_power_cut_at_any_step_a_whole_release_starts_containers(
    prefix: Path, local: Path, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    """And the next install.sh finds the release before, an uninstall all that was made."""
    if is_first:
        shutil.rmtree(prefix / "lib")
        (prefix / "bin" / "runc-wrap").unlink()
    monkeypatch.setattr(program, "do", _sync)
    monkeypatch.setattr(program, "run", lambda *_, **__: program.Ended(0, b"", ""))
    before = ("", None) if is_first else ("1.000000", b"1.000000")
    put, close = list[int](), change_set.close

    def closed(record: Path) -> None:
        put.append(len(moments))
        close(record)

    with disk_faults.recorded(prefix) as moments, monkeypatch.context() as patch:
        patch.setattr(change_set, "close", closed)
        assert _install(prefix, "exit 0") == 0
    checked = 0
    for call, tree in disk_faults.crashes(moments[: put[0]]):
        name, launcher = _state(tree)
        assert (name, launcher) in (before, ("2.000000", before[1]), ("2.000000", b"2.000000"))
        assert tree.get(f"lib/releases/{name}/runc-wrap", b"") == name.encode(), call
        shutil.rmtree(prefix)
        disk_faults.put(tree, prefix)
        found = {each for each in local.rglob("[!.]*") if each.is_symlink()}
        assert found == {*links.own(prefix)}, call
        assert releases.take_back(prefix) == []
        now = prefix / "lib" / "current"
        assert (now.readlink().name if now.is_symlink() else "") == before[0], call
        assert [*local.rglob("*")] == [], call
        checked += 1
    assert checked > 30


def test_if_it_fails_then_links_are_gone_with_their_directories(prefix: Path, local: Path) -> None:
    assert _install(prefix, f"ls {local}/bin/runc-wrapctl || exit 0; exit 1") == 1
    assert [*local.iterdir()] == []


def test_what_it_linked_goes_with_directories_that_are_empty(prefix: Path, local: Path) -> None:
    assert _install(prefix, "exit 0") == 0
    made = {*links.own(prefix)}
    assert {each.name for each in made} == {"runc-wrap", "runc-wrapctl", "runc-wrapctl.1"}
    (local / "bin" / "kubectl-runc_wrap").symlink_to(prefix / "bin" / "runc-wrapctl")
    links.remove(links.own(prefix))
    left = {each.name for each in local.rglob("*")}
    assert left == {"bin", "share", "kubectl-runc_wrap", "man"}


def test_a_link_that_somebody_made_to_a_handler_stays_over_an_upgrade_and_a_former_page_not(
    prefix: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine may call it; with another prefix all links are somebody's own."""
    assert _install(prefix, "exit 0") == 0
    former = local / "share" / "man" / "man1" / "runc-wrapctl-former.1"
    former.symlink_to(prefix / "lib" / "current" / "share" / "man" / "man1" / former.name)
    own = local / "bin" / "runc-wrap-strict"
    own.symlink_to(prefix / "bin" / "runc-wrap")
    assert _install(prefix, "exit 0", "3.000000") == 0
    assert (own.is_symlink(), former.is_symlink()) == (True, False)
    there = links.own(prefix)
    monkeypatch.setattr(links, "DEFAULT_PREFIX", "/elsewhere")
    assert _install(prefix, "exit 0", "4.000000") == 0
    assert links.own(prefix) == there


def test_a_file_that_is_not_our_link_stays(prefix: Path, local: Path) -> None:
    other = local / "bin" / "runc-wrapctl"
    other.parent.mkdir()
    other.write_text("mine")
    assert _install(prefix, "exit 0") == 0
    assert other.read_text() == "mine"
    assert other not in links.own(prefix)


def test_no_link_is_made_where_others_may_change_it(
    prefix: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = {str(local / "bin"): [(str(local / "bin"), "is pete's")]}
    monkeypatch.setattr(ownership, "of", lambda path: theirs.get(path, ()))
    assert _install(prefix, "exit 0") == 0
    assert [path.name for path in local.iterdir()] == ["share"]


def test_links_stay_as_they_are_where_usr_is_read_only_and_are_known_as_ours(
    prefix: Path, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _install(prefix, "exit 0") == 0
    made = links.own(prefix)
    monkeypatch.setattr(links, "is_read_only", lambda _: True)
    assert _install(prefix, "exit 0", "3.000000") == 0
    assert links.own(prefix) == made
    with pytest.raises(Failure, match="is on a read-only file system"):
        uninstaller.plan(Places(prefix))
    shutil.rmtree(local)  # as after another image of /usr
    uninstaller.plan(Places(prefix))
    assert _install(prefix, "exit 0", "4.000000") == 0
