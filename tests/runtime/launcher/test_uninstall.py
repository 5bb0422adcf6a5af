"""`runc-wrapctl uninstall`: the machine is as before, and no container is stranded."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.containers import bundles
from harness.host.processes import Daemon, environment, run, short_directory
from harness.node import machine as machines
from harness.node.machine import PREFIX
from harness.node.requirements import program
from runc_wrap.host import locks
from runc_wrap.profiles import captured_profile
from runc_wrap.profiles.captured_profile import Captured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.containers.bundles import Bundle
    from harness.node.install import Installed
    from harness.node.machine import Machine

WRAPPER, CTL = PREFIX / "bin" / "runc-wrap", PREFIX / "bin" / "runc-wrapctl"
PROFILE = b'{"defaultAction": "SCMP_ACT_ALLOW"}'
CAPTURE = Captured("docker", "26.1.5", "2026-11-26T12:00:00Z", "amd64", "6.12", "ab", PROFILE)
RECORDS = {
    "opt/runc-wrap/var/captured/docker.json": captured_profile.text(CAPTURE),
    "opt/runc-wrap/var/evidence/containers/one.json": b"{}\n",
    "opt/runc-wrap/var/ledger/ledger.jsonl": b"{}\n",
    "opt/runc-wrap/var/metrics/state.json": b"{}\n",
}
DAEMON_JSON = "/usr/local/daemon.json"


@pytest.fixture(name="machine")
def empty_machine() -> Iterator[Machine]:
    """A machine that has had no installation, with a file of an engine."""
    with short_directory("machine") as directory, machines.machine(directory) as one:
        data = directory / "docker" / "containers"
        data.mkdir(parents=True)
        (directory / "local" / "daemon.json").write_text(
            json.dumps({"data-root": str(data.parent)})
        )
        yield one


def _installed(machine: Machine, installed: Installed, name: str = "000000") -> None:
    done = machine.install(machine.new_release(installed, name))
    assert done.returncode == 0, done.stderr
    added = machine.ctl("engine", "add", "docker", "--config", DAEMON_JSON, "--handler", "strict")
    assert added.returncode == 0, added.stderr


def _uninstalled(machine: Machine, *words: str) -> str:
    done = machine.ctl("uninstall", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(name="container")
def running_container(machine: Machine, installed: Installed) -> Iterator[Bundle]:
    """A container that was started through an installation of this machine."""
    _installed(machine, installed)
    bundle = bundles.make(machine.directory / "bundle", "runc")
    argv = bundle.argv(WRAPPER, "run", "--detach", "--pid-file", str(bundle.path / "pid"))
    null = subprocess.DEVNULL
    subprocess.run([*machine.space.prefix, *argv], stdin=null, stdout=null, stderr=null, check=True)
    yield bundle
    bundle.call(program("runc"), "delete", "--force", before=machine.space.prefix)


def _call(machine: Machine, bundle: Bundle, command: str, *after: str) -> int:
    """Call the path that an engine remembers; return the exit status."""
    done = bundle.call(WRAPPER, command, after=after, before=machine.space.prefix)
    return done.returncode


def test_the_machine_is_as_before_the_installation(machine: Machine, installed: Installed) -> None:
    before = machine.listing()
    _installed(machine, installed)
    (machine.prefix / "etc" / "config.toml").write_text("# mine\n")
    for name, content in RECORDS.items():
        (machine.directory / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.directory / name).write_bytes(content)
    with_it = machine.listing()
    told = _uninstalled(machine, "--dry-run")
    assert machine.listing() == with_it
    assert "would stop, disable and remove runc-wrap-decide.socket" in told
    assert f"left: {PREFIX}/etc: your settings; --purge removes them" in told
    kinds = "captured, evidence, ledger, metrics"
    assert f"left: {PREFIX}/var ({kinds}): your records; --purge removes them" in told
    document, _, rest = _uninstalled(machine, "--json").partition("\n}\n")
    assert (json.loads(f"{document}}}")["dry_run"], rest) == (False, "")
    kept = {str(path) for name in RECORDS for path in (Path(name), *Path(name).parents)}
    kept |= {"opt/runc-wrap/etc", "opt/runc-wrap/etc/config.toml"}
    assert set(machine.listing()) - set(before) == kept - {".", "opt"}
    assert {name: machine.listing()[name] for name in before} == before
    assert not machine.is_active("runc-wrap-observe.service")

    _installed(machine, installed)
    assert _uninstalled(machine, "--purge").endswith("\nrunc-wrap is removed.\n")
    assert machine.listing() == before


def test_a_first_installation_says_what_to_do_if_its_settings_need_runc_wrapctl(
    machine: Machine, installed: Installed
) -> None:
    """As settings that an uninstall kept, or that were copied from another node."""
    release = machine.new_release(installed, "000000")
    (machine.prefix / "etc" / "config.toml").write_text('[runtime_default]\nsource = "captured"\n')
    done = machine.install(release)
    assert done.returncode == 1
    assert "is installed and its default is not captured; run `runc-wrapctl" in done.stderr
    assert "needs no runc-wrapctl, which is not installed yet" in done.stderr


def test_it_is_refused_while_a_container_is_called_by_its_path_or_hands_it_over(
    machine: Machine, container: Bundle
) -> None:
    aside = machine.prefix.rename(machine.directory / "aside")
    assert _call(machine, container, "state") == 127  # as after rm -r
    aside.rename(machine.prefix)

    assert machine.ctl("uninstall").returncode == 2  # makes the file of its own lock
    before = machine.listing()
    done = machine.ctl("uninstall")
    assert done.returncode == 2
    assert f"{WRAPPER}: 1 container: {container.name}" in done.stderr
    assert machine.listing() == before
    told = _uninstalled(machine, "--hand-over", "--purge")
    left = f"left: {WRAPPER}, which leads to {program('runc')}: 1 container: {container.name}"
    assert left in told
    assert f"left, as it is not empty: {PREFIX}" in told
    assert [*machine.prefix.rglob("*")] == [
        machine.prefix / "bin",
        machine.prefix / "bin/runc-wrap",
    ]
    assert not list((machine.directory / "units").iterdir())
    assert _call(machine, container, "exec", "/bin/true") == 0
    assert machine.run("/usr/local/bin/runc-wrap", "--version").stdout.startswith("runc version")
    assert _call(machine, container, "kill", "KILL") == 0
    assert _call(machine, container, "delete", "--force") == 0


def test_a_new_installation_takes_the_path_over_again(
    machine: Machine, container: Bundle, installed: Installed
) -> None:
    _uninstalled(machine, "--hand-over")
    _installed(machine, installed, "000001")
    assert (machine.prefix / "bin" / "runc-wrap").read_bytes()[:4] == b"\x7fELF"
    assert _call(machine, container, "exec", "/bin/true") == 0


def test_while_containers_in_observe_run_it_refuses_and_names_them(
    machine: Machine, container: Bundle
) -> None:
    ledger = machine.prefix / "var" / "ledger" / "ledger.jsonl"
    line = json.loads(ledger.read_text().splitlines()[-1])
    assert line["id"] == container.name
    with ledger.open("a") as file:
        file.write(json.dumps(line | {"mode": "observe"}) + "\n")
    assert machine.ctl("uninstall").returncode == 2
    before = machine.listing()  # with the file of the lock, which an uninstall holds and keeps
    done = machine.ctl("uninstall")
    assert done.returncode == 2
    assert f"1 container in mode observe: {container.name}" in done.stderr
    assert machine.ctl("uninstall", "--hand-over").returncode == 2
    assert machine.listing() == before


def test_a_name_that_a_container_of_an_engine_needs_is_handed_over(
    machine: Machine, installed: Installed
) -> None:
    _installed(machine, installed)
    made = machine.directory / "docker" / "containers" / "0123"
    made.mkdir()
    (made / "hostconfig.json").write_text(json.dumps({"Runtime": "strict"}))
    done = machine.ctl("uninstall")
    assert done.returncode == 2
    assert f"strict in {DAEMON_JSON}: 1 container: 0123" in " ".join(done.stderr.split())
    told = _uninstalled(machine, "--hand-over", "--purge")
    assert f"left: the handler strict in {DAEMON_JSON}, which leads to" in told
    daemon = json.loads((machine.directory / "local" / "daemon.json").read_text())
    assert daemon["runtimes"] == {"strict": {"path": program("runc")}}


def test_while_a_file_of_an_engine_names_us_by_hand_it_is_refused(
    machine: Machine, installed: Installed
) -> None:
    _installed(machine, installed)
    run([*machine.space.prefix, "mount", "-t", "tmpfs", "tmpfs", "/etc/containers"])
    by_hand = f"printf '[engine.runtimes]\\nx = [\"{WRAPPER}\"]\\n' > /etc/containers/x.conf"
    run([*machine.space.prefix, "sh", "-c", by_hand])
    done = machine.ctl("uninstall")
    assert done.returncode == 2
    assert f"{WRAPPER}: /etc/containers/x.conf names it; remove that by hand" in done.stderr
    run([*machine.space.prefix, "rm", "/etc/containers/x.conf"])
    _uninstalled(machine, "--purge")
    assert not machine.prefix.exists()


@pytest.mark.parametrize("role", ["decide", "observe"])
def test_a_service_that_systemd_did_not_start_is_named_and_nothing_is_done(
    machine: Machine, installed: Installed, role: str
) -> None:
    """As OpenRC or runit run it: it would go on from files that are gone."""
    _installed(machine, installed)
    words = [*machine.space.prefix, str(CTL), "agent", role]
    log = machine.directory / "log"
    lock = machine.prefix / "var" / "agent" / f"{role}.lock"
    service = Daemon(words, log)
    try:
        service.wait_ready(lambda: bool(locks.held_by(lock)), role)
        machine.ctl("uninstall")  # makes the file of its own lock
        its_own = ("var/evidence",)  # which observe writes meanwhile
        before = machine.listing(without=its_own)
        for dry in ([], ["--dry-run"]):
            done = machine.ctl("uninstall", *dry)
            assert done.returncode == 2
            assert "1 service of the agent that systemd did not start would go on" in done.stderr
            assert f"{role} by {locks.held_by(lock)}" in done.stderr
        assert machine.listing(without=its_own) == before
    finally:
        service.stop()
    _uninstalled(machine, "--purge")
    assert not machine.prefix.exists()


def test_killed_after_any_step_it_can_be_run_again(machine: Machine, installed: Installed) -> None:
    before = machine.listing()
    _installed(machine, installed)
    steps = len(_uninstalled(machine, "--dry-run").splitlines())
    for step in range(1, steps):
        _kill_at_line(machine, step)
    _uninstalled(machine, "--purge")
    assert machine.listing() == before


def _kill_at_line(machine: Machine, number: int) -> None:
    """Kill an uninstall when it has begun its step of that number, if it has so many."""
    argv = [*machine.space.prefix, str(CTL), "uninstall", "--purge"]
    words = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment(**words)) as process:
        assert process.stdout
        for _ in range(number):
            if b"remove /opt/runc-wrap/lib" in process.stdout.readline():
                break
        process.kill()


def test_killed_while_it_removes_its_own_program_it_can_be_run_again(
    machine: Machine, installed: Installed
) -> None:
    before = machine.listing()
    _installed(machine, installed)
    busybox = program("busybox")
    stand_in = machine.directory / "rm"
    stand_in.write_text(
        f"#!{busybox} sh\n{busybox} rm -rf {PREFIX}/lib/releases\n"
        f"{program('flock')} -n {PREFIX}/var/lock/install true || {busybox} touch {PREFIX}/held\n"
        f"{busybox} kill -9 $PPID\n"
    )
    stand_in.chmod(0o755)
    run([*machine.space.prefix, "mount", "--bind", stand_in, "/usr/bin/rm"])
    assert machine.ctl("uninstall", "--purge").returncode in (-9, 137)
    run([*machine.space.prefix, "umount", "/usr/bin/rm"])
    assert not (machine.prefix / "lib" / "releases").exists()
    (machine.prefix / "held").unlink()  # no install.sh could begin meanwhile
    done = machine.run("/usr/local/bin/runc-wrapctl", "uninstall")
    assert done.returncode == 0, done.stderr
    assert machine.listing() == before


@pytest.mark.parametrize(
    "gone", ["var", "lib/installation.json", "bin/runc-wrap", "lib/runtime", "etc"]
)
def test_it_works_when_a_part_is_gone(gone: str, machine: Machine, installed: Installed) -> None:
    done = machine.install(machine.new_release(installed, "000000"))
    assert done.returncode == 0, done.stderr
    path = machine.prefix / gone
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    _uninstalled(machine, "--purge")
    assert not machine.prefix.exists()
    assert not list((machine.directory / "units").iterdir())


def test_it_removes_no_foreign_files_of_a_shared_prefix(
    machine: Machine, installed: Installed
) -> None:
    mine = [machine.prefix / name for name in ("lib/mine", "lib/releases/mine", "var/mine")]
    _installed(machine, installed)
    for path in mine:
        path.write_text("mine\n")
    _uninstalled(machine, "--purge")
    found = {path for path in machine.prefix.rglob("*") if path.is_file()}
    assert found == set(mine)


def test_links_that_are_others_are_left(machine: Machine, installed: Installed) -> None:
    _installed(machine, installed)
    link = machine.directory / "local" / "bin" / "runc-wrap"
    link.unlink()
    link.write_text("mine\n")
    told = _uninstalled(machine)
    assert "left: /usr/local/bin/runc-wrap: it is not the link that install.sh made" in told
    assert Path(link).read_text() == "mine\n"
