"""What the rooms below engines/ have to know of each engine: names, as data.

What the hot path knows stands in hotpath/container_identity.py and hotpath/privileged.py, and how
an engine is found, changed and asked in its own room of engines/. A test sees that names stand
nowhere else.
"""

from typing import NamedTuple


class EngineNames(NamedTuple):
    """One engine's names.

    `name`: in the policy, the ledger and `engine add`. `program`: of its daemon, or its own.
    `profile`: of the built-in profile that is its default. `kubelet`: what a node's
    containerRuntimeVersion calls it, "" if no kubelet uses it; `oldest`: its first release that
    runc-wrap works with there. `is_users`: users call it, who choose the names of their containers.
    """

    name: str
    program: str
    profile: str
    kubelet: str = ""
    oldest: tuple[int, int] = (0, 0)
    is_users: bool = False


CONTAINERD = EngineNames(  # 1.6 is the first with the CRI that is spoken, v1
    "containerd", "containerd", "containerd", kubelet="containerd", oldest=(1, 6)
)
DOCKER = EngineNames("docker", "dockerd", "moby", is_users=True)
CRIO = EngineNames("crio", "crio", "crio", kubelet="cri-o")
PODMAN = EngineNames("podman", "podman", "containers-common", is_users=True)
BUILDAH = EngineNames("buildah", "buildah", "containers-common", is_users=True)

COMMON = PODMAN.profile  # of all that are built with containers/common

KNOWN = {each.name: each for each in (CONTAINERD, DOCKER, CRIO, PODMAN, BUILDAH)}
