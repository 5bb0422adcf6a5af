"""apply --diff: which running containers would be decided otherwise."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runtime.conftest import Pair
    from tests.support.bundles import Bundle
    from tests.support.install import Installed


def test_the_running_containers_that_a_new_policy_would_change_are_named(
    own_installation: Installed, make_bundle: Callable[..., Bundle]
) -> None:
    plain = make_bundle("runc")
    opted_out = make_bundle("runc", {"runc-wrap/seccomp": "unconfined"})
    for bundle in (plain, opted_out):
        bundle.create(own_installation.wrapper)
    assert "0 running containers" in own_installation.control("apply", "--check", "--diff").stdout
    config = own_installation.prefix / "etc" / "config.toml"
    config.write_text('[opt_out]\nannotations = false\n[default]\nmode = "audit"\n')
    said = own_installation.control("apply", "--check", "--diff").stdout
    assert f"{plain.name}: containerd@1.7.24 (enforce) -> containerd@1.7.24 (audit)" in said
    assert f"{opted_out.name}: leave -> containerd@1.7.24 (audit)" in said
    assert "2 running containers would be decided otherwise" in said
    assert "Only checked" in said


def test_explain_sees_through_the_block_that_we_put_in(
    pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(pair.kind)
    bundle.create(pair.wrapped)
    assert pair.installed.control("explain", bundle.path).stdout.startswith("inject ")
    copy = dataclasses.replace(bundle, path=bundle.path / "copy")
    copy.path.mkdir()
    copy.config.write_bytes(bundle.config.read_bytes())
    assert pair.installed.control("explain", copy.path).stdout.startswith("keep")
