"""Uninstalled: the machine is as it was before. Last, for nothing is installed afterwards."""

from harness.node.guest import LISTING, Node

_UNINSTALL = """
docker ps -aq | xargs -r docker rm -f >/dev/null; podman rm -af -t 0 >/dev/null
for one in containerd docker podman; do runc-wrapctl engine remove $one --restart >&2; done
runc-wrapctl uninstall --purge 2>&1
"""


def test_uninstall_leaves_every_file_as_it_was_before_the_installation(node: Node) -> None:
    before = set(node.before.splitlines())
    assert set(node.machine.sh(LISTING).splitlines()) - before
    told = node.machine.sh(_UNINSTALL)
    assert set(node.machine.sh(LISTING).splitlines()) ^ before == set(), told
