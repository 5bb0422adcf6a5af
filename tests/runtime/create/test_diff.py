"""apply --diff: which running containers would be decided differently."""

import dataclasses
import json
from typing import Any

from harness.host.processes import installed_version
from runc_wrap.cluster import policy_directory
from runc_wrap.node.paths import Places
from tests.runtime.conftest import Lab

COUNT = "Running containers that would get a different filter or none:"


def test_the_running_containers_that_a_new_policy_would_change_are_named(runc: Lab) -> None:
    plain = runc.bundle()
    opted_out = runc.bundle({"runc-wrap/seccomp": "unconfined"})
    for bundle in (plain, opted_out):
        bundle.create(runc.wrapper)
    assert f"{COUNT} 0\n" in runc.node.control("apply", "--diff").stdout
    config = runc.node.prefix / "etc" / "config.toml"
    config.write_text('[opt_out]\nannotations = false\n[default]\nmode = "audit"\n')
    said = runc.node.control("apply", "--diff").stdout
    profile = f"containerd@{installed_version('containerd')}"
    assert f"{plain.name}: {profile} (enforce) -> {profile} (audit)" in said
    assert f"{opted_out.name}: leave -> {profile} (audit)" in said
    assert f"{COUNT} 2\n" in said
    assert "Only checked" in said
    changes = {one["id"]: one for one in runc.node.shown("apply", "--diff")["changes"]}
    assert changes.keys() == {plain.name, opted_out.name}
    assert changes[opted_out.name]["action"] == "leave"
    assert changes[plain.name]["then"]["mode"] == "audit"


def test_a_policy_that_a_cluster_would_send_is_tried_on_the_running_containers(runc: Lab) -> None:
    """What `kubectl runc-wrap policy check` has each node do."""
    bundle = runc.bundle()
    bundle.create(runc.wrapper)
    places = Places(runc.node.prefix)
    words = ("cluster", "try-policy", "check-1", "--node", "n1")

    def tried(text: bytes) -> Any:
        policy_directory.write_files(places.cluster / "check-1", {"config.toml": text})
        return json.loads(runc.node.control(*words).stdout)

    assert tried(b"")["changes"] == []
    found = tried(b'[default]\nmode = "audit"\n')
    assert (found["refused"], found["changed"]) == (None, 1)
    (change,) = found["changes"]
    modes = [change[when]["mode"] for when in ("now", "then")]
    assert (change["id"], modes) == (bundle.name, ["enforce", "audit"])
    assert "config.toml" in tried(b"[defualt]")["refused"]
    assert not places.config.exists()


def test_another_filter_under_the_same_name_is_a_change(runc: Lab) -> None:
    profile = runc.node.prefix / "etc" / "profiles" / "mine.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}))
    runc.node.control("apply")
    mine = runc.bundle({"runc-wrap/seccomp": "localhost/mine.json"})
    plain = runc.bundle()
    for bundle in (mine, plain):
        bundle.create(runc.wrapper)
    config = runc.node.prefix / "etc" / "config.toml"
    config.write_text('[overlay]\ndeny = ["mkdir"]\n')
    assert f"{COUNT} 2\n" in runc.node.control("apply", "--diff").stdout
    config.unlink()
    assert f"{COUNT} 0\n" in runc.node.control("apply", "--diff").stdout
    profile.unlink()
    said = runc.node.control("apply", "--diff").stdout
    assert f"{COUNT} 1\n" in said
    assert f"{mine.name}: localhost/mine.json (enforce) -> refused" in said


def test_explain_ignores_the_block_that_we_injected(lab: Lab) -> None:
    bundle = lab.bundle()
    bundle.create(lab.wrapped)
    assert lab.installed.control("explain", bundle.path).stdout.startswith("inject ")
    copy = dataclasses.replace(bundle, path=bundle.path / "copy")
    copy.path.mkdir()
    copy.config.write_bytes(bundle.config.read_bytes())
    assert lab.installed.control("explain", copy.path).stdout.startswith("keep")
