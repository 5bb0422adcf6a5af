"""kubectl runc-wrap policy: what the nodes would do with a policy, before it is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from runc_wrap import safe_text
from runc_wrap.cli import kubectl_cluster, output
from runc_wrap.fleet import sent_policy
from runc_wrap.fleet.memory_bound import MemoryBound
from runc_wrap.fleet.policy_answers import PolicyAnswers
from runc_wrap.fleet.report_collection import Collection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runc_wrap.cli.kubectl_cluster import Asking, Cluster
    from runc_wrap.fleet.policy_answers import ChangedNodes, PolicyChange

# What the installer's pod runs: its node's own check, by the node's systemd
COMMAND = ("/runc-wrap/bin/runc-wrapctl", "cluster", "check-policy")
_COLUMNS = ("WORKLOAD", "CONTAINERS", "NOW", "THEN")
_SHOWN_NODES, _LONGEST = 5, 600


@click.group()
def policy() -> None:
    """Check a policy against all nodes of the cluster."""


@policy.command()
@click.option(
    "-f",
    "--filename",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A config.toml, with `profiles` beside it; then 0-mode.toml or profiles. Repeatable.",
)
@click.option(
    "--config-map", "maps", multiple=True, help="A ConfigMap of the cluster with such files."
)
@click.option("-l", "--selector", help="Ask only nodes with these labels, as of one pool.")
@kubectl_cluster.asking
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def check(  # noqa: PLR0913 - click gives each option as a parameter
    cluster: Cluster,
    /,
    *,
    paths: tuple[Path, ...],
    maps: tuple[str, ...],
    selector: str | None,
    how: Asking,
    as_json: bool,
) -> bool:
    """Have every node check a policy, as it would before it puts it in force; nothing is changed.

    Shown is which nodes would refuse it and why, and which running containers would get another
    decision. Exit status 1: a node would refuse it, a container would be refused, or a node did
    not answer.
    """
    found = PolicyAnswers(MemoryBound().check)
    with output.progress("Asking nodes") as meter:
        given = _given(cluster, paths, maps)
        where = cluster.kubectl, cluster.namespace
        one = Collection(*where, COMMAND, how.at_once, how.seconds, given)
        listed, found.not_linux = kubectl_cluster.asked(cluster, selector)
        nodes = [each for each in listed if each.node not in how.without]
        found.not_reached = [each.node for each in nodes if not each.is_reached]
        for document, size in one.documents([each for each in nodes if each.is_reached], meter):
            found.take(document, size)
    if as_json:
        output.document(found.as_json())
    else:
        _show(found)
    return not found.is_well


def _given(cluster: Cluster, paths: tuple[Path, ...], maps: tuple[str, ...]) -> bytes:
    """Return the policy as nodes get it. Raises KubectlError."""
    found = sent_policy.of_config_maps(cluster.kubectl, cluster.namespace, maps)
    return sent_policy.line(found | sent_policy.of_files(paths))


def _show(found: PolicyAnswers) -> None:
    taken = safe_text.number(found.taken, "node")
    output.say(f"{taken} would put it in force, {sum(map(len, found.refused.values()))} not.")
    for why, nodes in found.refused.items():
        output.say(
            f"Refused on {_nodes(len(nodes), sorted(nodes))}: {safe_text.name(why, _LONGEST)}"
        )
    for remark, where in found.remarks.items():
        output.say(f"On {_nodes(where.nodes, where.names)}: {safe_text.name(remark, _LONGEST)}")
    if found.changes:
        output.table(_COLUMNS, map(_row, found.ordered()))
    elif found.taken:
        output.say("No container that runs there would get another filter.")
    _say_what_is_missing(found)


def _row(one: tuple[PolicyChange, ChangedNodes]) -> tuple[str, ...]:
    change, where = one
    then = f"refused: {safe_text.name(change.refused, _LONGEST)}" if change.refused else change.then
    containers = safe_text.number(where.containers, "container")
    on = f"{containers} on {_nodes(where.nodes, where.names)}"
    return (
        safe_text.name(change.whose.name),
        on,
        safe_text.name(change.now),
        safe_text.name(then, _LONGEST),
    )


def _nodes(number: int, names: Sequence[str]) -> str:
    shown = safe_text.some([*map(safe_text.word, names)], _SHOWN_NODES, number)
    return f"{safe_text.number(number, 'node')} ({shown})"


def _say_what_is_missing(found: PolicyAnswers) -> None:
    """Print on stderr of which nodes nothing is known."""
    kubectl_cluster.say_who_is_left_out(found.not_linux)
    if found.not_reached:
        shown = _nodes(len(found.not_reached), found.not_reached)
        output.warn(f"note: not reached, as the installer has no pod there: {shown}")
    number = safe_text.number(len(found.silent), "node")
    output.warn_some(
        [
            f"{safe_text.word(node)}: {safe_text.name(why, _LONGEST)}"
            for node, why in sorted(found.silent)
        ],
        f"warning: {number} did not answer; whether they would take it is unknown:",
    )
