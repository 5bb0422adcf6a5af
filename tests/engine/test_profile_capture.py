"""`profile capture` finds what the engine really applies, starts nothing and leaves nothing.

Each capture equals our table, which is what the engines generate (test_builtin_profiles.py).

The harness' engines are in mount namespaces of their own; runc-wrapctl runs in there, too.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.containers import recording_runtime
from harness.containers.recording_runtime import Recorder
from harness.engines.containerd import Containerd
from harness.engines.cri import RUNTIME_DEFAULT, Ask, Cri, CriError
from harness.engines.docker import Docker
from harness.engines.images import REFERENCE
from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import attempt, run, script, short_directory
from harness.node.install import Installed, copy_of
from harness.node.requirements import program, requires
from runc_wrap.hotpath.main import CAPTURE
from runc_wrap.profiles import captured_profile, platform
from runc_wrap.profiles.json_profiles import profile_parser

Json = dict[str, Any]


# Stands before our launcher, while the engine and all that it started wait for it: looks for the
# token of a capture in the command lines of all processes.
SPY = r"""#!/bin/sh
before=
for word; do [ "$before" = --bundle ] && bundle=$word; before=$word; done
if grep -ao 'RUNC_WRAP_CAPTURE=[0-9a-f]*' "$bundle/config.json" 2>/dev/null >TOKENS.mark; then
    cut -d= -f2 <TOKENS.mark >TOKENS
    echo looked >>SEEN
    grep -haf TOKENS /proc/[0-9]*/cmdline >>SEEN 2>/dev/null
fi
exec ORIGINAL "$@"
"""


@pytest.fixture(scope="module")
def node_of_ours(place: Path, installed: Installed) -> Installed:
    """An installation of this module's own, since captures are stored in it, with SPY."""
    made = copy_of(installed, place / "capturing")
    original = made.wrapper.rename(made.wrapper.with_name("original"))
    words = {"SEEN": place / "seen", "TOKENS": place / "tokens", "ORIGINAL": original}
    text = SPY
    for word, path in words.items():
        text = text.replace(word, str(path))
    script(made.wrapper, text)
    return made


def _capture(ours: Installed, space: MountNamespace, *words: str | Path) -> Json:
    """Run `profile capture`; insist that it finds the table to be right, and shows no token."""
    seen = ours.prefix.with_name("seen")
    seen.unlink(missing_ok=True)
    argv = [*space.prefix, ours.ctl, "profile", "capture", *words, "--json"]
    done = attempt(argv, seconds=240)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    document: Json = json.loads(done.stdout)
    assert document["differences"] == []
    assert not (ours.prefix / "var/capture").exists()
    if ours.wrapper.with_name("original").exists():
        assert {*seen.read_text(errors="replace").splitlines()} == {"looked"}
    return document


def _check(document: Json, config: Json) -> None:
    """Compare what was captured with what the engine applied to a container."""
    data = json.dumps(document["profile"]).encode()
    caps = frozenset(config["process"]["capabilities"].get("bounding", ()))
    captured = captured_profile.resolved(
        profile_parser.parse(data, "captured"), caps, platform.goarch(), platform.kernel()
    )
    assert captured_profile.differences(config["linux"]["seccomp"], captured) == []


@pytest.fixture(scope="module")
def of_containerd(node_of_ours: Installed, node: Containerd) -> Json:
    return _capture(node_of_ours, node.space, "containerd", "--config", node.config)


@pytest.mark.parametrize("add", [[], ["NET_ADMIN", "SYS_TIME", "BPF"], ["ALL"]])
def test_containerds_capture_is_what_its_cri_plugin_gives_a_pod(
    of_containerd: Json, kubelet: Cri, recorded: Recorder, add: list[str]
) -> None:
    pod = kubelet.run_pod("recorded")
    recorded.taken()
    container = kubelet.create(pod, Ask(seccomp=RUNTIME_DEFAULT, add=add))
    with pytest.raises(CriError, match=recording_runtime.REFUSAL):
        kubelet.start(container)
    kubelet.remove_pod(pod.id)
    (config,) = recorded.taken()
    _check(of_containerd, config)


def test_containerd_keeps_no_pod_of_a_request(of_containerd: Json, node: Containerd) -> None:
    assert of_containerd["answers"] == 19
    assert "runc-wrap/capture" not in node.ctr("containers", "list", namespace="k8s.io").stdout


# What an image's author can give every container of it, and a name that only resembles a request's.
_LABELLED = ("--label", "runc-wrap.capture=1")


@pytest.fixture
def registered(installed: Installed) -> Iterator[Installed]:
    """The installation that is Docker's runtime `wrapped`; afterwards it has no capture."""
    yield installed
    shutil.rmtree(installed.prefix / "var/captured")


def test_dockers_capture_leaves_nothing(docker_daemon: Docker, registered: Installed) -> None:
    docker = docker_daemon
    before = docker.docker("images", "--quiet", "--all").stdout
    named = docker.docker("create", *_LABELLED, "--name", "runc-wrap-capture-x", REFERENCE).stdout
    _capture(registered, docker.space, "docker", "--socket", docker.socket)
    assert docker.docker("ps", "--all", "--quiet", "--no-trunc").stdout == named
    docker.docker("rm", named.strip())
    assert docker.docker("images", "--quiet", "--all").stdout == before


@pytest.fixture
def storage() -> Iterator[MountNamespace]:
    """A mount namespace with an empty storage where Podman and Buildah look for it."""
    requires("podman", "conmon", "buildah", "runc", root=True)
    where = {Path("/var/lib/containers"): "64m"}
    with short_directory("s") as directory, private_mounts(directory, where) as space:
        yield space


LISTINGS = [("podman", ("ps", "--all")), ("buildah", ("containers",))]


@pytest.mark.parametrize(("engine", "listing"), LISTINGS)
def test_podmans_and_buildahs_capture_leave_nothing(
    storage: MountNamespace, node_of_ours: Installed, engine: str, listing: tuple[str, ...]
) -> None:
    _capture(node_of_ours, storage, engine)
    assert run([*storage.prefix, program(engine), *listing, "--quiet"]).stdout.strip() == ""


def test_a_policy_with_the_capture_gives_an_unconfined_container_the_engines_own_default(
    of_containerd: Json, node_of_ours: Installed, node: Containerd
) -> None:
    node_of_ours.configure('runtime = ["runc"]\n[runtime_default]\nsource = "captured"\n'
                           'docker = "26.1.5"\ncontainers_common = "builtin"\n')  # fmt: skip
    look = ["grep", "^Seccomp:", "/proc/self/status"]
    assert node.ctr("run", "--rm", REFERENCE, "bare", *look).stdout.split() == ["Seccomp:", "0"]
    words = ["run", "--rm", "--runc-binary", str(node_of_ours.wrapper), REFERENCE, "confined"]
    assert node.ctr(*words, *look).stdout.split() == ["Seccomp:", "2"]
    line = node_of_ours.ledger()[-1]
    assert (line["action"], line["profile"]) == ("inject", of_containerd["name"])


def test_a_request_that_root_has_not_made_is_a_container_like_any_other(
    node_of_ours: Installed, node: Containerd
) -> None:
    words = ["run", "--rm", "--seccomp", "--runc-binary", str(node_of_ours.wrapper)]
    words += ["--env", f"{CAPTURE.decode()}{'a' * 32}"]
    assert node.ctr(*words, REFERENCE, "forged", "echo", "ran").stdout.strip() == "ran"


def test_even_a_node_that_starts_containers_in_any_case_starts_no_captured_one(
    node_of_ours: Installed, node: Containerd
) -> None:
    node_of_ours.configure('on_error = "run-unmodified"\nruntime = ["runc"]\n')
    token = "b" * 32
    request = node_of_ours.prefix / "var/capture" / token
    request.parent.mkdir()
    request.touch()
    words = ["run", "--rm", "--seccomp", "--runc-binary", str(node_of_ours.wrapper)]
    words += ["--env", f"{CAPTURE.decode()}{token}"]
    done = node.try_ctr(*words, REFERENCE, "captured", "echo", "ran")
    assert "which starts no process" in done.stderr
    assert "ran" not in done.stdout
    record = json.loads(request.read_text())
    request.unlink()
    request.parent.rmdir()
    assert record["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
