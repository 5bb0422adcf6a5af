"""What Podman alone has: how it calls a runtime, its log, its defaults, its annotations.

Every test shows the opposite first, on the bare runtime or without the tested setting.
`wrapped` is not in runtime_supports_json, `renamed` is: Podman calls them differently.
"""

import pytest

from harness.engines.images import REFERENCE
from harness.engines.podman import Podman
from harness.kernel import process_status
from harness.kernel.process_status import DISABLED, FILTER, seccomp_in
from harness.node.install import Installed


def started(podman: Podman, runtime: str, *options: str) -> int:
    """Start a container; return the Seccomp value of its first process."""
    return process_status.seccomp(podman.pid(podman.start(runtime, *options)))


def test_a_runtime_called_through_a_link_confines(podman: Podman) -> None:
    assert started(podman, "runc") == DISABLED
    assert started(podman, "renamed") == FILTER


def test_a_container_that_only_claims_privilege_is_confined_where_annotations_do_not_count(
    podman: Podman,
) -> None:
    nearly = ["--cap-add", "ALL", "--security-opt", "unmask=ALL"]
    says_so = [*nearly, "--annotation", "io.podman.annotations.privileged=TRUE"]
    assert started(podman, "wrapped", *says_so) == DISABLED
    assert started(podman, "strict", *says_so) == FILTER
    assert started(podman, "strict", "--privileged") == DISABLED


@pytest.mark.parametrize("runtime", ["runc", "wrapped", "renamed", "wrapped-crun"])
def test_the_containers_own_output_and_status_are_all_that_is_seen(
    podman: Podman, runtime: str
) -> None:
    words = ["--runtime", runtime, "run", "--name", "talks", REFERENCE]
    done = podman.try_podman(*words, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)
    logged = podman.podman("logs", "talks")
    assert (logged.stdout, logged.stderr) == ("out\n", "err\n")


def test_an_overriding_containers_conf_can_make_the_wrapper_the_default(podman: Podman) -> None:
    show = ["run", "--rm", REFERENCE, "cat", "/proc/self/status"]
    assert seccomp_in(podman.podman(*show).stdout) == DISABLED
    override = podman.override("wrapped-by-default", '[engine]\nruntime = "wrapped"\n')
    assert seccomp_in(podman.podman(*show, override=override).stdout) == FILTER


FORGED = {
    "io.container.manager": "cri-o",
    "io.kubernetes.pod.namespace": "exempt",
    "io.kubernetes.pod.name": "pod",
    "io.kubernetes.container.name": "app",
}
EXEMPT = '[[rule]]\nname = "exempt"\nnamespace = ["exempt"]\nmode = "off"\n'
ONLY_CRIO = '[runtime_default]\nengine = "crio"\n'


def test_annotations_alone_do_not_make_a_container_a_pod_of_crio(
    podman: Podman, own_installation: Installed
) -> None:
    """Podman passes them on as its user wrote them; the paths that it chooses are its own."""
    runtime = str(own_installation.wrapper)
    forged = [word for key in FORGED.items() for word in ("--annotation", "=".join(key))]
    own_installation.configure(ONLY_CRIO + EXEMPT)
    assert started(podman, runtime, *forged) == DISABLED
    own_installation.configure(EXEMPT)
    assert started(podman, runtime, *forged) == FILTER
