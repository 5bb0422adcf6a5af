"""`engine add --restart` with each engine of this Debian release, by its real systemd, and back.

The engines' releases are the point: containerd 1.6 with runc 1.1, Docker 20.10 and Podman 4.3 on
bookworm; runc 1.3, Docker 28 and Podman 5.8 on forky. A fault in between:
test_transaction.py.
"""

import pytest

from harness.engines.cri import Cri
from harness.kernel.process_status import DISABLED, FILTER, seccomp_in
from harness.node.guest import IMAGE, Node, started
from tests.boxes.box import CRI_WORKS

ENGINES = ["docker", "podman", *(["containerd"] if CRI_WORKS else [])]
EACH = pytest.mark.parametrize("engine", ENGINES)
_SHOW = f'--runtime "$1" {IMAGE} cat /proc/self/status'
_RUN = {
    "docker": f"docker run --rm --network none --security-opt seccomp=unconfined {_SHOW}",
    "podman": f"podman run --rm --network none {_SHOW}",
}
_FILES = "find /etc/containerd /etc/docker /etc/containers -type f -exec sha256sum {} + | sort"
# Without cgroups, for whose devices crun 1.8 raises a limit (tests/boxes/box.py).
_CRUN = f"""
cp -R /root/archive /opt/with-crun; cd /opt/with-crun
echo 'runtime = ["crun"]' > etc/config.toml; bin/runc-wrapctl apply >&2
mkdir -p /var/tmp/crun/rootfs; cd /var/tmp/crun
name=$(docker create {IMAGE}); docker export $name | tar -x -C rootfs; docker rm $name >&2
crun spec
sed -i 's|"terminal": true|"terminal": false|; s|"sh"|"cat", "/proc/self/status"|' config.json
"""
_RUN_BY_CRUN = 'cd /var/tmp/crun; "$1" --cgroup-manager=disabled run of-the-test </dev/null'


def _seccomp(node: Node, cri: Cri, engine: str, handler: str) -> int:
    """Run a container; return its mode of seccomp."""
    if engine != "containerd":
        return seccomp_in(node.machine.sh(_RUN[engine], handler))
    found = seccomp_in(node.machine.sh(f"cat /proc/{started(cri, handler)}/status"))
    cri.remove_pods()
    return found


@EACH
def test_an_engine_is_registered_and_proved_by_a_container_and_the_same_backwards(
    node: Node, cri: Cri, engine: str
) -> None:
    def done(verb: str) -> str:
        told = node.ctl("engine", verb, engine, "--restart")
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stdout

    registered = node.machine.sh(_FILES)
    done("remove")
    assert node.machine.sh(_FILES) != registered
    with pytest.raises(AssertionError):
        _seccomp(node, cri, engine, "runc-wrap")
    assert "equal call by call" in done("add")
    assert node.machine.sh(_FILES) == registered
    assert _seccomp(node, cri, engine, "runc") == DISABLED
    assert _seccomp(node, cri, engine, "runc-wrap") == FILTER
    last = node.ledger()[-1]
    assert (last["engine"], last["action"], last["mode"]) == (engine, "inject", "enforce")


def test_every_engine_is_in_force(node: Node) -> None:
    found = {one["engine"]: one for one in node.shown("engine", "status")}
    assert set(found) >= {"containerd", "docker", "podman"}
    assert [one["drift"] for one in found.values()] == [[]] * len(found)
    handlers = [handler["in_force"] for one in found.values() for handler in one["handlers"]]
    assert handlers == [True] * len(handlers)


def test_this_releases_crun_confines_by_our_filter(node: Node) -> None:
    """Its containerd, Docker and Podman are tested with runc."""
    node.machine.sh(_CRUN)
    try:
        found = [
            seccomp_in(node.machine.sh(_RUN_BY_CRUN, runtime))
            for runtime in ("crun", "/opt/with-crun/bin/runc-wrap")
        ]
    finally:
        node.machine.sh("rm -rf /opt/with-crun /var/tmp/crun")
    assert found == [DISABLED, FILTER]
