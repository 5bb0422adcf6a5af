"""The policy: from ConfigMaps, into its directory, put in force, refused and compiled again."""

from pathlib import Path

import pytest

from runc_wrap.apply import apply_policy
from runc_wrap.cluster import configmap_policy, policy_directory
from runc_wrap.cluster.configmap_policy import MODE, PolicyNotTaken
from runc_wrap.node.paths import Places
from runc_wrap.policy.compiler_facts import PolicyError
from tests.unit.cluster.conftest import READY, Scene
from tests.unit.cluster.host_stand_in import Killed


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


def test_the_first_release_comes_with_the_policy_which_may_name_its_runtime(scene: Scene) -> None:
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


@pytest.mark.parametrize("name", ["config.toml", "0-mode.toml"])
@pytest.mark.parametrize("path", ["/var/lib/kubelet/pods/1/runc", "runc/../../x", "/proc/1/root/x"])
def test_a_policy_with_a_runtimes_path_is_not_taken(ready: Scene, path: str, name: str) -> None:
    """A container's root is root's, too: who writes a ConfigMap would have root execute that."""
    config = ready.place / "config" / "config.toml"
    settings = config if name == config.name else ready.place / MODE
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f'runtime = ["runc", "{path}"]\n')
    why = ready.passes("policy-refused", "status").why
    assert f"runtime names the path {path}; in a cluster it takes names" in why


def test_a_policy_compiled_by_a_killed_pod_does_not_stay_in_force_unseen(ready: Scene) -> None:
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


def test_a_policy_that_is_nested_too_deeply_is_refused_and_ends_no_pod(ready: Scene) -> None:
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


AUDIT, ENFORCE = b'[default]\nmode = "audit"\n', b'[default]\nmode = "enforce"\n'
OWN = b"{}"


def test_what_the_pod_did_not_write_is_not_put_in_force(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.var.mkdir()
    name = policy_directory.write(places, {"config.toml": AUDIT})
    (places.cluster_policy.with_name(name) / "config.toml").write_bytes(b"")
    with pytest.raises(PolicyNotTaken, match="is not what the pod wrote"):
        policy_directory.put_in_force(places, name)
    assert policy_directory.in_force(places) is None


def test_a_config_map_is_read_as_the_kubelet_mounts_it(tmp_path: Path) -> None:
    """Each key is a link through ..data to a directory of that time."""
    for name, keys in (("config", {"config.toml": AUDIT, "other": b"x"}),
                       ("profiles", {"own.json": OWN, "README": b"x"})):  # fmt: skip
        data = tmp_path / name / "..2026_11_26"
        data.mkdir(parents=True)
        (tmp_path / name / "..data").symlink_to(data.name)
        for key, content in keys.items():
            (data / key).write_bytes(content)
            (tmp_path / name / key).symlink_to(f"..data/{key}")
    found = configmap_policy.mounted(tmp_path / "config", tmp_path / "profiles")
    assert found == {"config.toml": AUDIT, "profiles/own.json": OWN}


def test_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(PolicyNotTaken, match="larger than"):
        configmap_policy.mounted(tmp_path, tmp_path / "none")
    (tmp_path / "config.toml").write_bytes(b"#" * (1 << 19))
    (tmp_path / "own.json").write_bytes(b" " * ((1 << 19) + 1))
    with pytest.raises(PolicyNotTaken, match="more than"):
        configmap_policy.mounted(tmp_path, tmp_path)
    for number in range(300):
        (tmp_path / f"{number}.json").touch()
    with pytest.raises(PolicyNotTaken, match="at most 256"):
        configmap_policy.mounted(tmp_path, tmp_path)


def test_a_config_map_without_a_policy_or_a_well_spelled_mode_is_refused(tmp_path: Path) -> None:
    """Without a mode the default would enforce."""
    with pytest.raises(PolicyNotTaken, match=r"has no config\.toml"):
        configmap_policy.mounted(tmp_path, tmp_path / "b")
    (tmp_path / "config.toml").touch()
    assert configmap_policy.mounted(tmp_path, tmp_path / "b") == {"config.toml": b""}
    mode = tmp_path / MODE
    mode.parent.mkdir()
    mode.touch()
    assert MODE in configmap_policy.mounted(tmp_path, tmp_path / "profiles")
    mode.rename(mode.with_name("mode.toml"))
    with pytest.raises(PolicyNotTaken, match=r"has no 0-mode\.toml"):
        configmap_policy.mounted(tmp_path, tmp_path / "profiles")


def test_a_mode_in_the_policy_and_in_the_overlay_is_refused() -> None:
    with pytest.raises(PolicyNotTaken, match=r"config\.toml sets default.mode"):
        configmap_policy.refuse_two_modes({"config.toml": ENFORCE, MODE: AUDIT})
    # which `apply` says
    configmap_policy.refuse_two_modes({"config.toml": b"[", MODE: AUDIT})
