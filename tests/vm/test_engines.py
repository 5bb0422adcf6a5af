"""Every engine of the node, as it is installed: systemd's cgroups, AppArmor, a user's own systemd.

Each starts one container without us and one with us, both with a call that profiles deny.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from harness.engines.cri import Cri
from harness.engines.images import REFERENCE
from harness.kernel.process_status import DISABLED, FILTER
from harness.node.guest import PREFIX, Guest, Node, started
from tests.vm.image import USER

CRUN = "/opt/with-crun"  # another installation, for the user
WORK = "/calls x86_64:163; exec sleep 1000000"  # acct(NULL), which no profile allows
LOOKED_AT = '[default]\nmode = "audit"\n'
RUNTIMES = {  # without us, through us
    "containerd": ("runc", "runc-wrap"),
    "docker": ("runc", "runc-wrap"),
    "podman": ("runc", "runc-wrap"),
    "user": ("crun", f"{CRUN}/bin/runc-wrap"),
    "buildah": ("runc", f"{PREFIX}/bin/runc-wrap"),
}
ENGINES = tuple(RUNTIMES)
EACH = pytest.mark.parametrize("engine", ENGINES)
_COMMON = f"""
image=$1 work=$2 number=$3 runtime=$4
cd /root
free='--security-opt seccomp=unconfined'
user() {{
    runuser -u {USER} -- env -C /home/{USER} XDG_RUNTIME_DIR=/run/user/1000 \\
        DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus podman "$@"
}}
"""
# Each starts the container in the background and prints its pid.
_START = {
    "docker": """
name=$(docker run -d --network none $free --runtime $runtime $image sh -c "$work")
docker inspect --format '{{.State.Pid}}' $name
""",
    "podman": """
name=$(podman run -d --runtime $runtime $image sh -c "$work")
podman inspect --format '{{.State.Pid}}' $name
""",
    "user": """
name=$(user run -d --runtime $runtime $image sh -c "$work")
user inspect --format '{{.State.Pid}}' $name
""",
    # its pid is in its own temporary directory; it asks `runc state` all the time, for which an
    # emulated CPU has nothing else left, so it is stopped once the container has made its call
    "buildah": """
made=$(buildah from --quiet $free $image)
unit=b$number; export TMPDIR=/var/tmp/$unit; mkdir $TMPDIR
systemd-run --quiet --unit $unit --setenv TMPDIR=$TMPDIR \\
    buildah run --isolation oci --runtime $runtime $made -- sh -c "$work"
timeout 240 sh -c '
until grep -q ^sleep /proc/$(cat $TMPDIR/buildah*/pid)/cmdline; do sleep 0.2; done 2>/dev/null'
pkill -STOP -f ^buildah-oci-runtime
cat $TMPDIR/buildah*/pid
""",
}
_REMOVE = """
docker ps -aq | xargs docker rm -f >/dev/null; podman rm -a -f -t 0 >/dev/null
user rm -a -f -t 0 >/dev/null; systemctl stop b0 b1 b2; buildah rm --all >/dev/null
rm -rf /opt/with-crun
"""
_ANOTHER = f"""
cp -R /root/archive "$1"; printf %s "$2" > "$1/etc/config.toml"; "$1/bin/runc-wrapctl" apply >&2
cd /home/{USER}
runuser -u {USER} -- env XDG_RUNTIME_DIR=/run/user/1000 podman load -q < /root/image.tar
"""
_FACTS = """
for pid; do
    grep Seccomp: /proc/$pid/status | tr -cd '0-9\\n'
    cat /proc/$pid/attr/current
    cut -d: -f3 /proc/$pid/cgroup
done
"""


@dataclass(frozen=True)
class Process:
    """A container's first process, as the kernel has it."""

    seccomp: int
    apparmor: str
    cgroup: str


@dataclass(frozen=True)
class Seen:
    """What the kernel and runc-wrapctl say of the containers, by engine."""

    without: dict[str, Process]
    through: dict[str, Process]
    status: dict[str, Any]
    verified: tuple[int, Any]
    report: dict[str, Any]


@pytest.fixture(scope="module")
def seen(node: Node, cri: Cri) -> Iterator[Seen]:
    """Every engine's containers have made their call, and still run."""
    node.configure("")
    _give_the_user_crun(node.machine)
    without, through = (_started(node.machine, cri, number) for number in (0, 1))
    with ThreadPoolExecutor() as pool:
        deep = pool.submit(node.ctl, "verify", "--deep", "--json", seconds=600)
        _look_at_all(node)
        looked_at = _started(node.machine, cri, 2)
        verified = deep.result()
    rows = {row["pid"]: row for row in _rows(node)}
    yield Seen(
        _processes(node.machine, without),
        _processes(node.machine, through),
        {engine: rows[pid] for engine, pid in through.items()},
        (verified.returncode, json.loads(verified.stdout)),
        _report(node, {engine: rows[pid]["id"] for engine, pid in looked_at.items()}),
    )
    node.machine.sh(_COMMON + _REMOVE, "", "", "", "")


def _started(machine: Guest, cri: Cri, number: int) -> dict[str, int]:
    """Start each engine's container, without us if it is number 0; return their pids.

    Two at a time, as each waits for much.
    """

    def one(engine: str) -> int:
        runtime = RUNTIMES[engine][number > 0]
        if engine == "containerd":
            return started(cri, runtime, "/bin/sh", "-c", WORK)
        return int(machine.sh(_COMMON + _START[engine], REFERENCE, WORK, str(number), runtime))

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(ENGINES, pool.map(one, ENGINES), strict=True))


def _give_the_user_crun(machine: Guest) -> None:
    """Make another installation, of an archive that is only unpacked, for crun."""
    machine.sh(_ANOTHER, CRUN, 'runtime = ["crun"]\n')


def _look_at_all(node: Node) -> None:
    node.configure(LOOKED_AT)
    config = f"{CRUN}/etc/conf.d/mode.toml"
    node.machine.sh(f'printf %s "$1" > {config}; {CRUN}/bin/runc-wrapctl apply', LOOKED_AT)


def _report(node: Node, ids: dict[str, str]) -> dict[str, Any]:
    """Return each engine's workload in the report."""
    found = {one: row for row in node.shown("report") for one in row["ids"]}
    return {engine: found[one] for engine, one in ids.items() if engine != "user"}


def _rows(node: Node) -> list[Any]:
    """Return what status shows: root's containers by one installation, the user's by the other."""
    users = node.machine.json(f"{CRUN}/bin/runc-wrapctl status --json")
    return [row for row in node.shown("status") if not row["owner"]] + [
        row for row in users if row["owner"]
    ]


def _processes(machine: Guest, pids: dict[str, int]) -> dict[str, Process]:
    lines = iter(machine.sh(_FACTS, *map(str, pids.values())).splitlines())
    return {engine: Process(int(next(lines)), next(lines), next(lines)) for engine in pids}


@EACH
def test_a_container_is_confined_through_us_and_not_without_us(seen: Seen, engine: str) -> None:
    assert seen.without[engine].seccomp == DISABLED
    assert seen.through[engine].seccomp == FILTER


@EACH
def test_a_container_keeps_the_apparmor_profile_its_engine_chose(seen: Seen, engine: str) -> None:
    assert seen.through[engine].apparmor == seen.without[engine].apparmor
    # what Debian's engines choose: a user's may load no profile
    confined = engine in {"containerd", "docker", "podman"}
    assert seen.through[engine].apparmor.endswith("(enforce)") == confined


@pytest.mark.parametrize("engine", [one for one in ENGINES if one != "buildah"])
def test_a_container_is_in_a_scope_of_systemds(seen: Seen, engine: str) -> None:
    """Buildah makes a cgroup beneath its own."""
    assert ".scope" in seen.through[engine].cgroup


@EACH
def test_status_shows_a_container_that_agrees_with_its_decision(seen: Seen, engine: str) -> None:
    row = seen.status[engine]
    assert (row["action"], row["mode"], row["agrees"]) == ("inject", "enforce", True)
    assert row["effective"] == {"seccomp": FILTER, "filters": 1}


def test_verify_finds_every_process_of_roots_containers_confined(seen: Seen) -> None:
    status, told = seen.verified
    assert (status, told["disagreeing"], told["unchecked"]) == (0, [], [])
    assert told["checked"] >= len(ENGINES) - 1  # and the pod's sandbox


@pytest.mark.parametrize("engine", [one for one in ENGINES if one != "user"])
def test_the_report_shows_the_call_that_the_profile_would_deny(seen: Seen, engine: str) -> None:
    """Users' own containers are in no report: only root reads evidence, and trusts no user's."""
    found = seen.report[engine]
    assert found["verdict"] == "denied"
    assert [call["syscall"] for call in found["calls"]] == ["acct"]
