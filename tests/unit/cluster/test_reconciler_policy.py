"""The installer and the policy: when it is put in force, refused, and compiled again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.cluster import node_record
from runc_wrap.cluster.cluster_policy import policy_files
from tests.unit.cluster.installer_scene import READY

if TYPE_CHECKING:
    from tests.unit.cluster.installer_scene import Scene


def test_a_policy_that_fails_leaves_the_one_before_and_the_node_ready(scene: Scene) -> None:
    scene.become_ready()
    scene.write_policy("[defualt]")
    scene.host.fails["apply"] = "Error: config.toml:1: unknown setting defualt\n"
    decision = scene.installer().run()
    assert decision.word == "policy-refused"
    assert "defualt" in decision.why
    assert scene.labels[READY] == "true"
    assert "audit" in (scene.host.places.etc / "config.toml").read_text()
    assert scene.reasons[-1] == "PolicyRefused"
    scene.write_policy('[default]\nmode = "enforce"\n')
    del scene.host.fails["apply"]
    assert scene.installer().run().word == "ready"
    assert "enforce" in (scene.host.places.etc / "config.toml").read_text()
    assert scene.reasons[-2:] == ["PolicyApplied", "Ready"]


def test_a_policy_of_more_than_a_config_map_is_refused_without_asking_the_host(
    scene: Scene,
) -> None:
    scene.write_policy("#" * (1 << 20) + "\n")
    scene.installer().run()
    assert scene.installer().run().word == "policy-refused"
    assert "apply" not in scene.host.done


def test_a_config_map_whose_key_is_misspelt_puts_no_default_in_force(scene: Scene) -> None:
    scene.become_ready()
    config = scene.place / "config" / "config.toml"
    config.rename(config.with_name("confg.toml"))
    scene.host.done.clear()
    decision = scene.installer().run()
    assert decision.word == "policy-refused"
    assert "has no config.toml" in decision.why
    assert "audit" in (scene.host.places.etc / "config.toml").read_text()
    assert scene.labels[READY] == "true"
    assert scene.host.done == ["status"]


def test_a_new_node_whose_policy_is_refused_takes_no_pods_under_the_default(scene: Scene) -> None:
    scene.host.fails["apply"] = "Error: config.toml:1: unknown setting defualt\n"
    scene.installer().run()  # the kubelet has not been asked since
    assert scene.installer().run().word == "policy-refused"
    assert READY not in scene.labels
    del scene.host.fails["apply"]
    scene.write_policy('[default]\nmode = "observe"\n')
    assert scene.installer().run().word == "ready"
    assert scene.labels[READY] == "true"
    assert scene.reasons == ["PolicyRefused", "PolicyApplied", "Installed"]


@pytest.mark.parametrize("what", ["containerRuntimeVersion", "kernelVersion"])
def test_the_policy_is_compiled_again_for_another_engine_or_kernel_before_that_is_proved(
    scene: Scene, what: str
) -> None:
    """`runtime-default` is the engine's own profile, which its upgrade changes."""
    scene.become_ready()
    other = {"containerRuntimeVersion": "containerd://2.0.1", "kernelVersion": "6.12.0-1"}
    scene.api.node["status"]["nodeInfo"][what] = other[what]
    scene.host.upgraded = True
    scene.host.done.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["apply", "status", "prove", "status"]
    assert other[what].rpartition("/")[2] in scene.api.events[-2]["note"]
    scene.host.done.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["status"]


def test_what_apply_remarks_is_in_the_state(scene: Scene) -> None:
    scene.host.remarks = ["warning: restart it", "note: \x1b[31m"]
    scene.become_ready()
    state = node_record.state(scene.host.places)
    assert state["remarks"] == ["warning: restart it", "note: \\u001b[31m"]
    assert state["since"] <= time.time()
    before = state["since"]
    scene.installer().run()
    assert node_record.state(scene.host.places)["since"] == before


def test_the_first_release_is_installed_with_the_policy_which_may_name_its_runtime(
    scene: Scene,
) -> None:
    """As where only CRI-O's own crun is there, which runc-wrap does not look for."""
    scene.host.fails["preflight"] = "none of the runtimes runc, crun was found"
    for _ in range(2):
        assert scene.installer().run().word == "refused"
    assert scene.host.done == ["preflight"]
    del scene.host.fails["preflight"]
    told: dict[str, Any] = {}
    start = scene.host.start

    def look(unit: str, argv: list[str], *rest: Any, **more: Any) -> None:
        step = unit.removeprefix("runc-wrap-cluster-").rpartition("-")[0]
        told.setdefault(step, (argv, policy_files.candidate_config(scene.host.places).read_text(),
                               scene.host.places.config.exists()))  # fmt: skip
        start(unit, argv, *rest, **more)

    scene.host.start = look  # type: ignore[method-assign,assignment]
    scene.write_policy('runtime = ["crun"]\n')
    assert scene.installer().run().word == "waiting"  # and not an hour later
    argv, candidate, is_there = told["preflight"]
    assert argv[-1] == "--candidate"
    assert ("crun" in candidate, is_there) == (True, False)
    assert told["install"][2]
    assert [*told].index("lay") < [*told].index("install")
    scene.make_image("2")
    told.clear()
    scene.installer().run()
    assert told["preflight"][0][-1] != "--candidate"  # install.sh compiles what is there
    assert "lay" not in told


def test_a_first_policy_that_does_not_check_is_said_where_the_release_cannot_do_without_it(
    scene: Scene,
) -> None:
    scene.host.fails["lay"] = "Error: config.toml:2: unknown setting defualt\n"
    scene.host.fails["install"] = "none of the runtimes was found"
    decision = scene.installer().run()
    assert decision.word == "failed"
    assert "none of the runtimes was found; the policy was not taken: config.toml" in decision.why
    scene.make_image("2")
    del scene.host.fails["install"]
    scene.installer().run()
    assert scene.installer().run().word == "ready"  # with what `apply` takes


def test_a_policy_of_the_nodes_own_counts_for_its_first_release(scene: Scene) -> None:
    scene.host.places.config.write_text("# mine\n")
    scene.installer().run()
    assert "lay" not in scene.host.done
    assert scene.host.places.config.read_text() == "# mine\n"


@pytest.mark.parametrize("name", ["config.toml", "0-mode.toml"])
@pytest.mark.parametrize("path", ["/var/lib/kubelet/pods/1/runc", "runc/../../x", "/proc/1/root/x"])
def test_a_policy_that_names_a_runtime_by_its_path_is_not_taken(
    scene: Scene, path: str, name: str
) -> None:
    """A container's root is root's, too: who writes a ConfigMap would have root execute that."""
    scene.become_ready()
    config = scene.place / "config" / "config.toml"
    settings = config if name == config.name else scene.place / policy_files.MODE
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f'runtime = ["runc", "{path}"]\n')
    scene.host.done.clear()
    decision = scene.installer().run()
    assert decision.word == "policy-refused"
    assert f"runtime names the path {path}; in a cluster it takes names" in decision.why
    assert scene.host.done == ["status"]
