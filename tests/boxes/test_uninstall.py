"""Uninstalling: the machine is as it was before. Last, for nothing is installed afterwards."""

from harness.node.guest import IMAGE, LISTING, PREFIX, Node

WRAPPER = f"{PREFIX}/bin/runc-wrap"
_NO_CONTAINERS = "docker ps -aq | xargs -r docker rm -f >/dev/null; podman rm -af -t 0 >/dev/null"
_UNINSTALL = "runc-wrapctl uninstall --purge 2>&1"
# A canary of containerd 2 needs cgroup controllers, which a box may not have.
_REMOVE = """
runc-wrapctl engine remove containerd; systemctl restart containerd
for one in docker podman; do runc-wrapctl engine remove $one --restart || exit; done
"""


_BUNDLE = f"""
mkdir -p /var/tmp/bundle/rootfs; cd /var/tmp/bundle
name=$(docker create {IMAGE}); docker export $name | tar -x -C rootfs; docker rm $name >&2
runc spec
sed -i 's|"terminal": true|"terminal": false|; s|"sh"|"sleep", "1000"|' config.json
"""
_RUN = f"{WRAPPER} run --detach --bundle /var/tmp/bundle ours </dev/null >/dev/null 2>&1"


def test_uninstall_leaves_every_file_as_it_was_before_the_installation(node: Node) -> None:
    """Refused until containerd and Docker have forgotten us, which only a restart makes them do."""
    machine = node.machine
    machine.sh(_NO_CONTAINERS)
    before = node.before.splitlines()
    assert set(machine.sh(LISTING).splitlines()) - set(before)
    refused = machine.attempt(_UNINSTALL)
    assert refused.returncode == 2, refused.stdout
    assert "containerd (/etc/containerd/config.toml) has it in memory" in refused.stdout
    machine.sh(_REMOVE)
    machine.sh(_BUNDLE)
    machine.sh(_RUN)
    refused = machine.attempt(_UNINSTALL)
    assert refused.returncode == 2, refused.stdout
    assert f"{WRAPPER}: 1 container: ours" in refused.stdout
    machine.sh(f"{WRAPPER} delete --force ours")
    told = machine.sh(_UNINSTALL)
    after = machine.sh(LISTING).splitlines()
    assert set(before) ^ set(after) == set(), told


def test_what_is_handed_over_is_the_real_runtime_and_all_that_is_left(node: Node) -> None:
    machine, before = node.machine, node.before.splitlines()
    machine.sh("/root/archive/install.sh")
    machine.sh(_RUN)
    told = machine.sh(_UNINSTALL.replace("--purge", "--purge --hand-over"))
    assert f"left: {WRAPPER}, which leads to /usr/" in told
    machine.sh(f"{WRAPPER} exec ours true; {WRAPPER} kill ours KILL; {WRAPPER} delete --force ours")
    machine.sh(f"rm {WRAPPER} /usr/local/bin/runc-wrap; rmdir {PREFIX}/bin {PREFIX}")
    assert set(before) ^ set(machine.sh(LISTING).splitlines()) == set(), told
