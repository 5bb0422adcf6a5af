"""Docker and Podman, whose default seccomp profile is `unconfined`: `run --runtime`.

Every test shows the opposite first, on the bare runtime or without the tested setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.containers.block_rules import as_the_kernel_compares, differences, of_bundle
from harness.kernel import process_status
from harness.kernel.process_status import DISABLED, FILTER, seccomp_in

if TYPE_CHECKING:
    from pathlib import Path

    from harness.engines.docker import Docker
    from harness.engines.podman import Podman
    from tests.engine.conftest import Client

OPT_OUT = ("--annotation", "runc-wrap/seccomp=unconfined")


@pytest.mark.parametrize(("bare", "wrapped"), [("runc", "wrapped"), ("crun", "wrapped-crun")])
def test_a_container_and_its_execs_are_confined(client: Client, bare: str, wrapped: str) -> None:
    for runtime, expected in ((bare, DISABLED), (wrapped, FILTER)):
        container = client.engine.start(runtime)
        assert client.seccomp(container) == expected
        shown = client.call("exec", container, "cat", "/proc/self/status").stdout
        assert seccomp_in(shown) == expected


def test_the_injected_block_equals_the_engines_default(client: Client) -> None:
    """For each capability: test_builtin_profiles.py."""
    add = "--cap-add=SYS_ADMIN"
    theirs = of_bundle(client.engine.bundle(client.with_default("runc", add)))
    assert of_bundle(client.engine.bundle(client.engine.start("runc", add))) == {}
    ours = of_bundle(client.engine.bundle(client.engine.start("wrapped", add)))
    assert differences(as_the_kernel_compares(theirs), ours) == []


def test_a_container_opts_out_by_annotation(client: Client) -> None:
    assert client.started("wrapped", "--annotation", "other=unconfined") == FILTER
    assert client.started("wrapped", *OPT_OUT) == DISABLED


def test_a_privileged_container_is_left_unchanged(client: Client) -> None:
    nearly = ("--cap-add", "ALL", "--security-opt", client.unmasked)
    assert client.started("wrapped", *nearly) == FILTER
    assert client.started("wrapped", "--privileged") == DISABLED


def test_a_profile_of_the_containers_own_is_kept(client: Client, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    own = ("--security-opt", f"seccomp={profile}")
    bare, wrapped = client.engine.start("runc", *own), client.engine.start("wrapped", *own)
    kept = of_bundle(client.engine.bundle(wrapped))
    assert kept == of_bundle(client.engine.bundle(bare))
    assert kept["defaultAction"] == "SCMP_ACT_LOG"


def test_a_restarted_container_is_confined_again(client: Client) -> None:
    bare, wrapped = client.engine.start("runc"), client.engine.start("wrapped")
    before = client.engine.pid(wrapped)
    client.call("restart", "--time", "0", bare, wrapped)
    assert client.engine.pid(wrapped) != before
    assert (client.seccomp(bare), client.seccomp(wrapped)) == (DISABLED, FILTER)


def test_dockers_option_does_not_opt_out_and_podmans_does(docker: Docker, podman: Podman) -> None:
    """Docker writes the same config for both; Podman notes the option in an annotation."""
    unconfined = ("--security-opt", "seccomp=unconfined")
    found = []
    for engine in (docker, podman):
        assert process_status.seccomp(engine.pid(engine.start("wrapped"))) == FILTER
        found.append(process_status.seccomp(engine.pid(engine.start("wrapped", *unconfined))))
    assert found == [FILTER, DISABLED]
