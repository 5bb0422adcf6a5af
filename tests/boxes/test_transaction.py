"""`engine add --restart` with systemd itself: what fails, or is ended, is as it was before.

containerd is taken out first, and registered again by the last test. Units, timers and the boot are
systemd's own; a power cut that loses what was not synced: tests/vm/test_power_cuts.py.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from harness.node.containerd_change import (
    CONFIG,
    LEFT,
    NEW,
    STATE,
    answers_as_before,
    changed,
    is_new,
    unregistered,
    wait_as_before,
)
from harness.node.guest import IMAGE, PREFIX, Guest, Node, wait

LIVES = f"ctr run --detach --cpu-shares 0 {IMAGE} lives /bin/sleep 1000000"
# A script of a fault's runs whenever containerd starts, until the next boot, and systemd allows two
# starts an hour: what restarts it has to reset that.
PREPARE = f"""
mkdir -p /run/systemd/system/containerd.service.d
cat > /run/systemd/system/containerd.service.d/first.conf <<'END'
[Unit]
StartLimitIntervalSec=1h
StartLimitBurst=2
[Service]
ExecStartPre=/bin/sh -c "[ ! -e /run/first ] || sh /run/first"
END
systemctl daemon-reload
{LIVES}
"""
ADD = "systemd-run --quiet --collect --unit adding runc-wrapctl engine add containerd --restart"


@dataclass(frozen=True)
class Fault:
    """What goes wrong once containerd's file is the new one; the words that tell; its end."""

    begin: str
    told: str
    end: str


def _when_started(script: str) -> str:
    return f"printf '%s\n' '! {NEW} || {{ {script}; }}' > /run/first\n"


def _instead_of_us(script: str) -> str:
    """Replace what containerd executes, until the next boot."""
    lines = f"'#!/bin/sh' '{script}' 'exec runc \"$@\"'"
    return f"""
printf '%s\n' {lines} > /root/instead; chmod 755 /root/instead
mount --bind /root/instead {PREFIX}/bin/runc-wrap
"""


_CHECK = "/usr/local/sbin/containerd"  # before Debian's, for whoever looks it up
_US_AGAIN = f"umount {PREFIX}/bin/runc-wrap"
FAULTS = {
    "refuses the file": Fault(
        f"""
printf '%s\n' '#!/bin/sh' '! {NEW} || {{ echo no such setting >&2; exit 1; }}' \
    'exec /usr/bin/containerd "$@"' > {_CHECK}
chmod 755 {_CHECK}
""",
        "containerd refuses its files: no such setting",
        f"rm {_CHECK}",
    ),
    "does not come back": Fault(
        _when_started("exit 1"), "`systemctl restart containerd.service` failed", "rm /run/first"
    ),
    "unconfined": Fault(
        _instead_of_us(":"), "the ledger has no decision about the canary", _US_AGAIN
    ),
}


@pytest.fixture(scope="module", autouse=True)
def before(node: Node) -> Iterator[str]:
    """STATE without us in containerd, beside a container that runs."""
    node.machine.sh(PREPARE)
    with unregistered(node) as state:
        yield state
    node.machine.attempt("ctr tasks rm -f lives; ctr containers rm lives")


@pytest.mark.parametrize("name", FAULTS)
def test_after_a_fault_the_engine_answers_with_its_former_file(
    node: Node, before: str, name: str
) -> None:
    fault = FAULTS[name]
    node.machine.sh(fault.begin)
    try:
        code, told = changed(node, "add")
    finally:
        node.machine.sh(fault.end)
    assert (code, told["taken_back"], fault.told in told["reason"]) == (1, True, True), told
    answers_as_before(node.machine, before)
    assert "RUNNING" in node.machine.sh("ctr tasks list | grep lives")


def _while_it_restarts(machine: Guest) -> None:
    machine.sh(_when_started("sleep 1000") + ADD)
    state = "systemctl is-active containerd || :"
    wait(lambda: machine.sh(state) == "activating\n", "the restart")


def _while_a_canary_runs(machine: Guest) -> None:
    machine.sh(_instead_of_us("case $* in *create*) exec sleep 1000; esac") + ADD)
    wait(lambda: machine.sh("pgrep -f 'sleep 1000$' | wc -l") != "0\n", "the canary")


def test_a_killed_one_is_taken_back_by_revert_and_has_a_timer_until_then(
    node: Node, before: str
) -> None:
    _while_it_restarts(node.machine)
    node.machine.sh("rm /run/first; systemctl kill --signal KILL adding")
    assert "runc-wrap-revert-" in node.machine.sh(LEFT)
    done = node.ctl("engine", "revert")
    assert done.returncode == 0, done
    answers_as_before(node.machine, before)


@pytest.mark.parametrize("when", [_while_it_restarts, _while_a_canary_runs])
def test_after_an_end_without_warning_the_engine_starts_with_its_former_file(
    node: Node, before: str, when: Callable[[Guest], None]
) -> None:
    when(node.machine)
    assert is_new(node.machine)
    node.machine.power_off()
    node.machine.power_on()
    wait_as_before(node.machine, before)


_WITHOUT_IMAGE = f"""
cp {CONFIG} /root/config.toml
sed -i 's|sandbox_image = .*|sandbox_image = "localhost/absent:1"|' {CONFIG}
systemctl reset-failed containerd; systemctl restart containerd
"""
_WITH_IMAGE = f"""
cp /root/config.toml {CONFIG}; systemctl reset-failed containerd; systemctl restart containerd
"""


def test_without_the_sandboxes_image_it_is_refused_by_name_before_any_change(
    node: Node, before: str
) -> None:
    node.machine.sh(_WITHOUT_IMAGE)
    changed_by_us = node.machine.sh(STATE)
    done = node.ctl("engine", "add", "containerd", "--restart")
    left = node.machine.sh(STATE)
    node.machine.sh(_WITH_IMAGE)
    assert done.returncode == 2, done
    assert "has no image localhost/absent:1 for pods' sandboxes" in done.stderr
    assert left == changed_by_us
    answers_as_before(node.machine, before)


def test_registered_again_it_is_proved_and_nothing_differs(node: Node) -> None:
    code, told = changed(node, "add")
    assert (code, "equal call by call" in told["proved"]) == (0, True), told
    rows = {one["engine"]: one for one in node.shown("engine", "status")}
    assert (rows["containerd"]["drift"], rows["containerd"]["by"]) == ([], "root")


def _docker(node: Node) -> tuple[str, ...]:
    """Return Docker's file, its process, its default runtime and what it knows."""
    told = node.machine.sh(
        "cat /etc/docker/daemon.json; systemctl show -p MainPID --value docker; "
        "docker info --format '{{.DefaultRuntime}}'; docker info --format '{{json .Runtimes}}'"
    )
    return tuple(told.splitlines())


@pytest.fixture(name="docker")
def docker_without_us(node: Node) -> Iterator[tuple[str, ...]]:
    """Docker without us, and without any runtime in its file."""
    node.machine.sh("docker ps -aq | xargs -r docker rm -f")
    assert node.ctl("engine", "remove", "docker", "--restart").returncode == 0
    yield _docker(node)
    node.machine.sh("docker ps -aq | xargs -r docker rm -f")
    assert node.ctl("engine", "add", "docker", "--restart").returncode == 0


def test_docker_forgets_ours_when_it_is_taken_back_though_a_reload_would_keep_it(
    node: Node, docker: tuple[str, ...]
) -> None:
    node.machine.sh(_instead_of_us(":"))
    done = node.ctl("engine", "add", "docker", "--restart", "--default", "--json")
    node.machine.sh(_US_AGAIN)
    assert done.returncode == 1, done
    assert json.loads(done.stdout)["taken_back"] is True
    *others, runtimes = _docker(node)
    assert others == [*docker[:-1]]
    assert [*json.loads(runtimes)][-1:] == ["runc"]  # 20.10 forgets its shims' names, too


def test_docker_is_not_restarted_while_that_ends_containers(
    node: Node, docker: tuple[str, ...]
) -> None:
    """A removal after which daemon.json has no runtimes needs a restart."""
    assert node.ctl("engine", "add", "docker", "--restart").returncode == 0
    assert _docker(node)[-3] == docker[-3]  # it was reloaded
    node.machine.sh(f"docker run --detach --network none {IMAGE} sleep 600")
    done = node.ctl("engine", "remove", "docker", "--restart")
    assert done.returncode == 2, done
    assert "ends 1 container that runs, as live-restore is off" in done.stderr
    assert len(node.machine.sh("docker ps --quiet").split()) == 1
    done = node.ctl("engine", "remove", "docker", "--restart", "--stop-containers")
    assert done.returncode == 0, done
    assert "the engine's default starts a container" in done.stdout
    assert node.machine.sh("docker ps --quiet") == ""  # so a restart does end them
    assert _docker(node)[:-3] == docker[:-3]
