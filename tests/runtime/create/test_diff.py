"""apply --diff: which running containers would be decided differently."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from harness.node.versions import installed_version
from runc_wrap.cluster.cluster_policy import policy_directory
from runc_wrap.node.paths import Places

COUNT = "Running containers that would get a different filter or none:"

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.containers.bundles import Bundle
    from harness.node.install import Installed
    from tests.runtime.conftest import Pair


def test_the_running_containers_that_a_new_policy_would_change_are_named(
    own_installation: Installed, make_bundle: Callable[..., Bundle]
) -> None:
    plain = make_bundle("runc")
    opted_out = make_bundle("runc", {"runc-wrap/seccomp": "unconfined"})
    for bundle in (plain, opted_out):
        bundle.create(own_installation.wrapper)
    assert f"{COUNT} 0\n" in own_installation.control("apply", "--diff").stdout
    config = own_installation.prefix / "etc" / "config.toml"
    config.write_text('[opt_out]\nannotations = false\n[default]\nmode = "audit"\n')
    said = own_installation.control("apply", "--diff").stdout
    profile = f"containerd@{installed_version('containerd')}"
    assert f"{plain.name}: {profile} (enforce) -> {profile} (audit)" in said
    assert f"{opted_out.name}: leave -> {profile} (audit)" in said
    assert f"{COUNT} 2\n" in said
    assert "Only checked" in said
    document = json.loads(own_installation.control("apply", "--diff", "--json").stdout)
    changes = {change["id"]: change for change in document["changes"]}
    assert changes.keys() == {plain.name, opted_out.name}
    assert changes[opted_out.name]["action"] == "leave"
    assert changes[plain.name]["then"]["mode"] == "audit"


def test_a_policy_that_a_cluster_would_send_is_tried_on_the_running_containers(
    own_installation: Installed, make_bundle: Callable[..., Bundle]
) -> None:
    """What `kubectl runc-wrap policy check` has each node do."""
    bundle = make_bundle("runc")
    bundle.create(own_installation.wrapper)
    places = Places(own_installation.prefix)
    words = ("cluster", "try-policy", "check-1", "--node", "n1")

    def tried(text: bytes) -> Any:
        policy_directory.write_files(places.cluster / "check-1", {"config.toml": text})
        return json.loads(own_installation.control(*words).stdout)

    assert tried(b"")["changes"] == []
    found = tried(b'[default]\nmode = "audit"\n')
    assert (found["refused"], found["changed"]) == (None, 1)
    (change,) = found["changes"]
    assert (change["id"], change["now"]["mode"], change["then"]["mode"]) == (
        bundle.name,
        "enforce",
        "audit",
    )
    assert "config.toml" in tried(b"[defualt]")["refused"]
    assert not places.config.exists()


def test_another_filter_under_the_same_name_is_a_change(
    own_installation: Installed, make_bundle: Callable[..., Bundle]
) -> None:
    profile = own_installation.prefix / "etc" / "profiles" / "mine.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}))
    own_installation.control("apply")
    mine = make_bundle("runc", {"runc-wrap/seccomp": "localhost/mine.json"})
    plain = make_bundle("runc")
    for bundle in (mine, plain):
        bundle.create(own_installation.wrapper)
    config = own_installation.prefix / "etc" / "config.toml"
    config.write_text('[overlay]\ndeny = ["mkdir"]\n')
    assert f"{COUNT} 2\n" in own_installation.control("apply", "--diff").stdout
    config.unlink()
    assert f"{COUNT} 0\n" in own_installation.control("apply", "--diff").stdout
    profile.unlink()
    said = own_installation.control("apply", "--diff").stdout
    assert f"{COUNT} 1\n" in said
    assert f"{mine.name}: localhost/mine.json (enforce) -> refused" in said


def test_explain_ignores_the_block_that_we_injected(
    pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(pair.kind)
    bundle.create(pair.wrapped)
    assert pair.installed.control("explain", bundle.path).stdout.startswith("inject ")
    copy = dataclasses.replace(bundle, path=bundle.path / "copy")
    copy.path.mkdir()
    copy.config.write_bytes(bundle.config.read_bytes())
    assert pair.installed.control("explain", copy.path).stdout.startswith("keep")
