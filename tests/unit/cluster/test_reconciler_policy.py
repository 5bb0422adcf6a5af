"""The installer and the policy: when it is put in force, refused, and compiled again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from runc_wrap.apply import apply_policy
from runc_wrap.cluster import state_file
from runc_wrap.cluster.cluster_policy import configmap_policy, policy_directory
from runc_wrap.policy.compiler_facts import PolicyError
from tests.unit.cluster.host_stand_in import Killed
from tests.unit.cluster.installer_scene import READY

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places
    from tests.unit.cluster.installer_scene import Scene


def _refuses(_: Places) -> None:
    raise PolicyError("config.toml:2: unknown setting defualt")


def test_a_new_node_whose_policy_is_refused_takes_no_pods_under_the_default(scene: Scene) -> None:
    scene.patch.setattr(apply_policy, "check", _refuses)
    scene.host.fails["apply"] = "Error: config.toml:1: unknown setting defualt\n"
    scene.installer().run()  # the kubelet has not been asked since
    scene.passes("policy-refused")
    assert READY not in scene.labels
    del scene.host.fails["apply"]
    scene.write_policy('[default]\nmode = "observe"\n')
    scene.passes("ready")
    assert scene.labels[READY] == "true"
    assert scene.reasons == ["Installed", "PolicyRefused", "PolicyApplied", "Ready"]


@pytest.mark.parametrize(
    ("what", "other"),
    [("containerRuntimeVersion", "containerd://2.0.1"), ("kernelVersion", "6.12.0-1")],
)
def test_the_policy_is_compiled_again_for_another_engine_or_kernel_before_that_is_proved(
    ready: Scene, what: str, other: str
) -> None:
    """`runtime-default` is the engine's own profile, which its upgrade changes."""
    ready.api.node["status"]["nodeInfo"][what] = other
    ready.host.upgraded = True
    ready.passes("ready", "apply status prove status")
    ready.passes("ready", "status")


def test_what_apply_remarks_is_in_the_state(scene: Scene) -> None:
    scene.host.remarks = ["warning: restart it", "note: \x1b[31m"]
    scene.become_ready()
    record = state_file.read(scene.host.places)
    assert record.remarks == ("warning: restart it", "note: \\u001b[31m")
    assert record.since is not None
    assert record.since <= time.time()
    scene.installer().run()
    assert state_file.read(scene.host.places) == record


def test_the_first_release_is_installed_with_the_policy_which_may_name_its_runtime(
    scene: Scene,
) -> None:
    """As where only CRI-O's own crun is there, which runc-wrap does not look for."""
    scene.host.fails["preflight"] = "none of the runtimes runc, crun was found"
    pod = scene.installer()
    scene.passes("refused", "preflight", by=pod, times=2)
    del scene.host.fails["preflight"]
    scene.write_policy('runtime = ["crun"]\n')
    install, laid = scene.host.install, list[str | None]()

    def look() -> None:
        laid.append(policy_directory.in_force(scene.host.places))
        install()

    scene.patch.setattr(scene.host, "install", look)
    scene.passes("waiting", by=pod)  # and not an hour later
    assert scene.host.argv["preflight"][-2:] == ["--policy", laid[0]]
    scene.make_image("2")
    scene.installer().run()
    assert "--policy" not in scene.host.argv["preflight"]  # install.sh compiles what is there


def test_a_first_policy_that_does_not_check_is_said_where_the_release_cannot_do_without_it(
    scene: Scene,
) -> None:
    scene.patch.setattr(apply_policy, "check", _refuses)
    scene.host.fails["install"] = "none of the runtimes was found"
    why = scene.passes("failed").why
    assert "none of the runtimes was found; the policy was not taken: config.toml" in why
    assert policy_directory.in_force(scene.host.places) is None
    scene.make_image("2")
    del scene.host.fails["install"]
    scene.installer().run()
    scene.passes("ready")  # with what `apply` takes


@pytest.mark.parametrize("name", ["config.toml", "0-mode.toml"])
@pytest.mark.parametrize("path", ["/var/lib/kubelet/pods/1/runc", "runc/../../x", "/proc/1/root/x"])
def test_a_policy_that_names_a_runtime_by_its_path_is_not_taken(
    ready: Scene, path: str, name: str
) -> None:
    """A container's root is root's, too: who writes a ConfigMap would have root execute that."""
    config = ready.place / "config" / "config.toml"
    settings = config if name == config.name else ready.place / configmap_policy.MODE
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f'runtime = ["runc", "{path}"]\n')
    why = ready.passes("policy-refused", "status").why
    assert f"runtime names the path {path}; in a cluster it takes names" in why


def test_a_policy_that_was_compiled_when_it_was_killed_does_not_stay_in_force_unseen(
    ready: Scene,
) -> None:
    """Its owner goes back to the one before, to which the link still leads."""
    before = (ready.place / "config" / "config.toml").read_text()
    ready.write_policy('[default]\nmode = "off"\n')

    def dies(*_: object) -> None:
        raise Killed

    with ready.patch.context() as patch:
        patch.setattr(policy_directory, "_switch", dies)
        with pytest.raises(Killed):
            ready.installer().run()
    ready.write_policy(before)
    ready.passes("ready", "apply status")


def test_a_policy_that_is_nested_too_deeply_is_refused_by_apply_and_ends_no_pod(
    ready: Scene,
) -> None:
    ready.write_policy("a = " + "[" * 5000)
    ready.host.fails["apply"] = "Error: config.toml: nested too deeply for a policy.\n"
    ready.passes("policy-refused")


def test_a_policy_that_is_not_what_the_pod_wrote_is_written_again(ready: Scene) -> None:
    """It was edited, or damaged; the node has another kernel now, for which it is compiled."""
    config = ready.host.places.cluster_policy / "config.toml"
    was = config.read_bytes()
    config.write_text("")
    ready.api.node["status"]["nodeInfo"]["kernelVersion"] = "6.12.0"
    ready.passes("ready")
    assert config.read_bytes() == was
