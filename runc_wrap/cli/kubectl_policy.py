"""kubectl runc-wrap policy: what the nodes would do with a policy, before it is sent."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import click

from runc_wrap import safe_text
from runc_wrap.cli import options, output
from runc_wrap.cli.kubectl_plugin import PROGRAM, asking, nodes_named, say_who_is_left_out
from runc_wrap.cluster.configmap_policy import LARGEST, MODE
from runc_wrap.documents.constraints import Most
from runc_wrap.documents.reader import DocumentError, read, record
from runc_wrap.failure import Failure
from runc_wrap.fleet import memory_bound, node_queries
from runc_wrap.fleet.kubectl import Kubectl, KubectlError
from runc_wrap.fleet.policy_answers import ChangedNodes, PolicyAnswers, PolicyChange
from runc_wrap.host import files
from runc_wrap.policy.settings.policy_sources import CONFIG, PROFILES

_SHOWN_NODES, _LONGEST = 5, 600
_MODE_KEY = Path(MODE).name
_PROFILE = ".json"
_SECONDS = 60.0  # for a ConfigMap
_LARGEST_OBJECT = 8 * LARGEST  # bytes: JSON escapes each by six at most


@click.group()
def policy() -> None:
    """Check a policy against all nodes of the cluster."""


@policy.command()
@click.option("-f", "--filename", "paths", multiple=True, type=options.PATH, help="A file of it.")
@click.option("--config-map", "maps", multiple=True, help="A ConfigMap with such files.")
@click.option("-l", "--selector", help="Ask only nodes with these labels, as of one pool.")
@asking
@options.shows
def check(  # noqa: PLR0913 - click gives each option as a parameter
    cluster: Kubectl,
    /,
    *,
    paths: tuple[Path, ...],
    maps: tuple[str, ...],
    selector: str | None,
    how: node_queries.Asking,
    as_json: bool,
) -> bool:
    """Have every node check a policy, as it would before it puts it in force; nothing is changed.

    Its files are a config.toml, with `profiles` beside it, then 0-mode.toml or profiles: -f and
    --config-map may be repeated.

    Shown is which nodes would refuse it and why, and which running containers would get another
    decision. Exit status 1: a node would refuse it, a container would be refused, or a node did
    not answer.
    """
    found = PolicyAnswers()
    with output.progress("Asking nodes") as meter, memory_bound.bounded() as bound:
        given = _line(_of_config_maps(cluster, maps) | _of_files(paths))
        query = node_queries.Query(cluster, (*PROGRAM, "check-policy"), how, given)
        nodes, found.not_linux = node_queries.asked(cluster, selector, how.without)
        found.not_reached = [one.node for one in nodes if not one.is_reached]
        for document, size in query.documents([one for one in nodes if one.is_reached], meter):
            found.take(document)
            bound(document["node"], size)
    if as_json:
        output.document(found.as_json())
    else:
        _show(found)
    return not found.is_well


@record
class _ConfigMap:
    data: dict[str, Annotated[str, Most(LARGEST)]]


def _of_files(paths: Iterable[Path]) -> dict[str, str]:
    """Return files by their places on a node, and the directory `profiles` beside a config.toml.

    What begins with a dot is an editor's, say, and no node takes it. Raises Failure.
    """
    found: dict[str, str] = {}
    for path in paths:
        place = _place(path.name) or CONFIG
        if place in found:
            raise Failure(f"{path} is a second {place}; give one")
        found[place] = _text(path)
        own = sorted((path.parent / PROFILES).glob(f"[!.]*{_PROFILE}")) if place == CONFIG else ()
        found |= {f"{PROFILES}/{one.name}": _text(one) for one in own}
    return found


def _of_config_maps(cluster: Kubectl, names: Iterable[str]) -> dict[str, str]:
    """Return what these ConfigMaps bring to the installer. Raises Failure and KubectlError."""
    found: dict[str, str] = {}
    for name in names:
        words = ("get", "configmap", name, "--namespace", cluster.namespace, "--output=json")
        printed = cluster.run(*words, seconds=_SECONDS, largest=_LARGEST_OBJECT)
        try:
            data = read(_ConfigMap, printed).data
        except DocumentError as error:
            what = f"the ConfigMap {safe_text.word(name)} has no data"
            raise KubectlError(f"{what} ({error})") from None
        found |= {place: text for key, text in data.items() if (place := _place(key))}
    return found


def _place(name: str) -> str:
    """Return where a file of this name belongs on a node, "" if nowhere."""
    if name.endswith(_PROFILE) and not name.startswith("."):
        return f"{PROFILES}/{name}"
    return {CONFIG: CONFIG, _MODE_KEY: MODE}.get(name, "")


def _text(path: Path) -> str:
    try:
        return files.read(path, LARGEST, follows=True).decode()
    except ValueError as error:
        raise Failure(f"{path} is not UTF-8 of a ConfigMap's size: {error}") from None


def _line(found: Mapping[str, str]) -> bytes:
    """Return the files as they are sent to a node: one line. Raises Failure."""
    if CONFIG not in found:
        raise Failure(f"there is no {CONFIG}; give it by -f or --config-map")
    if (size := sum(len(one.encode()) for one in found.values())) > LARGEST:
        raise Failure(f"the policy has {size} bytes, more than the {LARGEST} of a ConfigMap")
    return json.dumps(found).encode() + b"\n"


def _show(found: PolicyAnswers) -> None:
    taken = safe_text.number(found.taken, "node")
    output.say(f"{taken} would put it in force, {sum(map(len, found.refused.values()))} not.")
    for why, nodes in found.refused.items():
        where = nodes_named(sorted(nodes), _SHOWN_NODES)
        output.say(f"Refused on {where}: {safe_text.name(why, _LONGEST)}")
    for remark, on in found.remarks.items():
        where = nodes_named(on.names, _SHOWN_NODES, on.nodes)
        output.say(f"On {where}: {safe_text.name(remark, _LONGEST)}")
    if found.changes:
        output.table(("WORKLOAD", "CONTAINERS", "NOW", "THEN"), map(_row, found.ordered()))
    elif found.taken:
        output.say("No container that runs there would get another filter.")
    say_who_is_left_out(found.not_linux)
    if found.not_reached:
        shown = nodes_named(found.not_reached, _SHOWN_NODES)
        output.warn(f"note: not reached, as the installer has no pod there: {shown}")
    number, said = safe_text.number(len(found.silent), "node"), sorted(found.silent)
    output.warn_some(
        [f"{safe_text.word(node)}: {safe_text.name(why, _LONGEST)}" for node, why in said],
        f"warning: {number} did not answer; whether they would take it is unknown:",
    )


def _row(one: tuple[PolicyChange, ChangedNodes]) -> tuple[str, ...]:
    change, where = one
    then = f"refused: {safe_text.name(change.refused, _LONGEST)}" if change.refused else change.then
    containers = safe_text.number(where.containers, "container")
    on = f"{containers} on {nodes_named(where.names, _SHOWN_NODES, where.nodes)}"
    whose, now = safe_text.name(change.whose.name), safe_text.name(change.now)
    return whose, on, now, safe_text.name(then, _LONGEST)
