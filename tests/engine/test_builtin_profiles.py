"""The built-in profiles are what the installed engines themselves generate, rule for rule.

Each engine generates its default for no capability, for each single one that a rule of ours names,
for all others together, and for all; a recording runtime stores the config.json. Ours is resolved
for the bounding set that it names.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.containers.block_rules import differences
from harness.containers.recording_runtime import REFUSAL, Recorder
from harness.engines.cri import RUNTIME_DEFAULT, Ask, Cri, CriError
from harness.engines.docker import Docker
from harness.engines.images import REFERENCE
from harness.engines.podman import Podman
from harness.host.processes import installed_version, run
from harness.kernel import process_status
from harness.node.requirements import requires
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.profiles import builtin, platform
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import Profile

Json = dict[str, Any]
NAMED = {
    name
    for engine in ("containerd", "moby", "containers-common")
    for rule in builtin.load(engine).rules
    for name in (*rule.includes.caps, *rule.excludes.caps)
}
ALL = "ALL"
SYSTEM_FILE = "/usr/share/containers/seccomp.json"


def compiled(profile: Profile) -> Any:
    """Compile for this machine."""
    return compile_profile(profile, arch=platform.goarch(), kernel=platform.kernel())


def bounding(config: Json) -> frozenset[str]:
    """Return the bounding set that a config.json names."""
    return frozenset(config["process"]["capabilities"].get("bounding", []))


def given_by_this_machine() -> frozenset[str]:
    """Return the capabilities that this process has and so can pass on."""
    mask = int(process_status.status("self")["CapBnd"], 16)
    return frozenset(name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1)


# What is added to no capability, without CAP_
CASES = {
    "none": (),
    **{name: (name.removeprefix("CAP_"),) for name in sorted(NAMED)},
    "others": tuple(name.removeprefix("CAP_") for name in sorted(given_by_this_machine() - NAMED)),
    "all": (ALL,),
}
EACH_CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
Case = tuple[str, ...]


def expected_bounding(case: Case) -> frozenset[str]:
    """Return the bounding set that a case asks for."""
    return given_by_this_machine() if ALL in case else frozenset(f"CAP_{name}" for name in case)


def check(configs: list[Json], case: Case, profile: Profile) -> None:
    """Compare an engine's profile for one container with ours, for the requested set.

    Docker and Podman give no capability that the machine lacks: they write nothing at all then, or
    a container without it.
    """
    asked = expected_bounding(case)
    if not asked <= given_by_this_machine():
        assert all(bounding(config) <= asked for config in configs)
    else:
        assert [bounding(config) for config in configs] == [asked]
    for config in configs:
        ours = resolve(compiled(profile), bounding(config))
        assert differences(config["linux"]["seccomp"], ours) == []


@pytest.fixture(scope="module")
def pod(kubelet: Cri) -> Any:
    """One pod for all containers: only its sandbox ever runs."""
    return kubelet.run_pod("recorded")


@EACH_CASE
def test_containerds_runtime_default_is_our_containerd_profile(
    kubelet: Cri, pod: Any, recorded: Recorder, case: Case
) -> None:
    recorded.taken()
    ask = Ask(seccomp=RUNTIME_DEFAULT, add=case, drop=[] if ALL in case else [ALL])
    container = kubelet.create(pod, ask)
    with pytest.raises(CriError, match=REFUSAL):
        kubelet.start(container)
    kubelet.call("RemoveContainer", container_id=container)
    check(recorded.taken(), case, builtin.load(f"containerd@{installed_version('containerd')}"))


@EACH_CASE
def test_dockers_builtin_profile_is_our_moby_profile(
    docker_daemon: Docker, recorded: Recorder, case: Case
) -> None:
    recorded.taken()
    options = ["--rm", "--network", "none", "--runtime", "recorded"]
    options += ["--security-opt", "seccomp=builtin", *capability_options(case)]
    done = docker_daemon.try_docker("run", *options, REFERENCE)
    assert REFUSAL in done.stderr or "invalid CapAdd" in done.stderr
    check(recorded.taken(), case, builtin.load(f"moby@{installed_version('dockerd')}"))


def capability_options(case: Case) -> list[str]:
    """Return the options of `docker run` and `podman run` for exactly this set."""
    drop = [] if ALL in case else ["--cap-drop", ALL]
    return [*drop, *(word for name in case for word in ("--cap-add", name))]


PodmanRecords = Callable[[Case], list[Json]]


@pytest.fixture
def podman_records(podman_storage: Podman, recorded: Recorder) -> PodmanRecords:
    """Run a container of a case with Podman's own default profile; return the configs it wrote."""
    default = podman_storage.override("default-profile", '[containers]\nseccomp_profile = ""\n')

    def records(case: Case) -> list[Json]:
        recorded.taken()
        options = ["--runtime", "recorded", "run", "--rm", *capability_options(case)]
        done = podman_storage.try_podman(*options, REFERENCE, override=default)
        assert REFUSAL in done.stderr
        return recorded.taken()

    return records


def containers_common() -> Profile:
    """Return our profile of the version that Podman was built with: Debian's package of it."""
    requires("dpkg-query")
    package = ["--show", "--showformat", "${Version}", "golang-github-containers-common"]
    return builtin.load(f"containers-common@{installed_version('dpkg-query', *package)}")


@EACH_CASE
def test_podmans_default_from_the_systems_file_is_ours_built_in_or_read_from_it(
    podman_records: PodmanRecords, case: Case
) -> None:
    requires(SYSTEM_FILE)
    configs = podman_records(case)
    check(configs, case, profile_parser.parse(Path(SYSTEM_FILE).read_bytes(), SYSTEM_FILE))
    check(configs, case, containers_common())


@pytest.fixture(scope="module")
def hidden_system_file(podman_storage: Podman) -> Iterator[None]:
    """Hide the system's file from Podman, which then falls back to its compiled-in profile."""
    place = str(Path(SYSTEM_FILE).parent)
    run([*podman_storage.space.prefix, "mount", "-t", "tmpfs", "test", place])
    yield
    run([*podman_storage.space.prefix, "umount", place])


@EACH_CASE
@pytest.mark.usefixtures("hidden_system_file")
def test_podmans_compiled_in_default_is_our_containers_common_profile(
    podman_records: PodmanRecords, case: Case
) -> None:
    check(podman_records(case), case, containers_common())


CHANGED = [
    ("containerd@1.7.32", "containerd@1.7.24", "socket"),
    ("moby@26.1.5", "moby@24.0.0", "io_uring_setup"),
    ("containers-common@0.63.0", "containers-common@0.62.0", "fanotify_init"),
]


@pytest.mark.parametrize(("newer", "older", "name"), CHANGED)
def test_the_comparison_detects_one_changed_rule(newer: str, older: str, name: str) -> None:
    new, old = (resolve(compiled(builtin.load(spec)), frozenset()) for spec in (newer, older))
    assert differences(new, new) == []
    assert name in "".join(differences(new, old))
