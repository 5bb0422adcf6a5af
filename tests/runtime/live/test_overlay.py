"""The overlay on containers that run: what was allowed is denied, for later execs as well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.node import install
from tests.runtime.live.conftest import OVERLAY, answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.containers.bundles import Bundle
    from tests.runtime.live.conftest import TightenedNode

OFF = '[default]\nmode = "off"\n'


def test_a_running_container_gets_the_overlay_and_so_do_later_execs_after_an_upgrade_too(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    bundle = started()
    node.configure(OVERLAY)
    assert answers(bundle, "yes")
    assert node.execs(bundle)
    (found,) = node.tighten("--overlay", bundle.name)
    assert (found["result"], found["reasons"]) == ("tightened", [])
    assert all(one["after"]["filters"] == 2 for one in found["processes"])
    assert answers(bundle, "no")
    assert not node.execs(bundle)
    assert node.disagreeing() == ([], [])
    install.lay_out_second(node.installed)
    install.switch_release(node.installed.prefix)
    assert node.disagreeing() == ([], [])
    (found,) = node.tighten("--overlay", bundle.name)
    assert (found["result"], found["processes"]) == ("has it", [])
    created, *_, last = node.installed.ledger(bundle.name)
    for name in ("filters", "digest", "bundle", "mode"):  # what an older release verifies by
        assert last[name] == created[name] is not None


def test_without_names_only_containers_are_meant_that_would_get_the_overlay_now(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    opted_out = started(annotations={"runc-wrap/seccomp": "unconfined"})
    confined = started()
    node.configure(OVERLAY)
    assert [one["id"] for one in node.tighten("--overlay")] == [confined.name]
    assert answers(confined, "no")
    assert answers(opted_out, "yes")
    node.tighten("--overlay", opted_out.name)
    assert answers(opted_out, "no")


def test_apply_names_it_as_stale_until_it_is_tightened(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    bundle = started()
    node.configure(OVERLAY)
    assert _stale(node) == [bundle.name]
    node.tighten("--overlay")
    assert _stale(node) == []


def _stale(node: TightenedNode) -> list[str]:
    shown = json.loads(node.installed.control("apply", "--diff", "--json").stdout)
    return [one["id"] for one in shown["changes"]]


def test_a_dry_run_changes_nothing(node: TightenedNode, started: Callable[..., Bundle]) -> None:
    bundle = started()
    node.configure(OVERLAY)
    state = bundle.path / "state" / bundle.name
    before = {file.name: file.read_bytes() for file in state.iterdir() if file.is_file()}
    ledger = node.installed.ledger()
    (found,) = node.tighten("--overlay", "--dry-run", bundle.name)
    assert found["result"] == "would be tightened"
    assert answers(bundle, "yes")
    assert node.execs(bundle)
    assert {file.name: file.read_bytes() for file in state.iterdir() if file.is_file()} == before
    assert node.installed.ledger() == ledger


def test_an_unconfined_container_gets_it_as_its_only_filter(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    node.configure(OFF)
    bundle = started()
    node.configure(OFF + OVERLAY)
    (found,) = node.tighten("--overlay", bundle.name)
    assert found["result"] == "tightened"
    assert all(one["after"]["filters"] == 1 for one in found["processes"])
    assert answers(bundle, "no")
    assert not node.execs(bundle)
    shown = json.loads(node.installed.control("status", "--json").stdout)
    (one,) = (each for each in shown if each["id"] == bundle.name)
    assert (one["action"], one["agrees"], len(one["laid"])) == ("leave", True, 1)
    assert node.disagreeing() == ([], [])
