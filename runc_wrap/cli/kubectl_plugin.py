"""kubectl runc-wrap: the whole cluster's report, suggestions and state, and checking a policy.

It runs as whoever calls kubectl, with kubectl's own credentials and rights. kubectl finds it as
kubectl-runc_wrap in PATH.
"""

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click

from runc_wrap import safe_text
from runc_wrap.cli import options, output, report_merged, suggest
from runc_wrap.cli.root_command import Lazy, Tidy
from runc_wrap.cluster import next_step
from runc_wrap.fleet import kubectl, memory_bound, node_queries
from runc_wrap.fleet.kubectl import Kubectl, KubectlError
from runc_wrap.fleet.node_list import ListedNode
from runc_wrap.fleet.node_queries import Asking, Query
from runc_wrap.node import paths
from runc_wrap.report.merge.document_stream import NodeAnswer
from runc_wrap.report.merge.fleet_report import FleetReport
from runc_wrap.report.merge.node_document import CANDIDATE_FORM, FORM

PROGRAM = ("/runc-wrap/bin/runc-wrapctl", "cluster")  # in the installer's pod
_COLUMNS = ("NODE", "KUBELET", "RUNC-WRAP", "VERSION", "STATE")
_HEALTH = {"True": "Ready", "False": "NotReady"}
_NAMES = ("node", "state", "since", "reason", "version", "engine", "policy")
_LONGEST, _MOST = 1000, 20  # characters of a sentence; remarks and attempts
_SHOWN = 20  # nodes
_IN_CLUSTER = suggest.Way(
    "kubectl runc-wrap suggest",
    lambda name: f"the key {name} of the ConfigMap runc-wrap-profiles",
    "config.toml of the ConfigMap runc-wrap-policy",
    "check both by `kubectl runc-wrap policy check` before you apply them",
)


def start() -> None:
    """Run the plugin, by the name that kubectl has for it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which Tidy takes for one that it may handle
    plugin(prog_name="kubectl runc-wrap")


@click.group(cls=Tidy)
@click.option("--context", help="The kubeconfig's context to use.")
@click.option("--kubeconfig", help="The kubeconfig file to use.")
@click.option("--as", help="Ask as this user.")
@click.option("-n", "--namespace", default="runc-wrap", show_default=True, help="The installer's.")
@click.option("--quiet", is_flag=True, help="Show no progress on a terminal.")
@click.version_option(package_name="runc-wrap")
@click.pass_context
def plugin(context: click.Context, /, namespace: str, *, quiet: bool, **given: str | None) -> None:  # noqa: ARG001 - output.progress asks the context
    """Report on runc-wrap on all nodes of a cluster.

    Exit status: 0, success; 1, it found a problem; 2, it could not run.
    """
    words = [f"--{name}={value}" for name, value in given.items() if value]
    context.obj = kubectl.found(words, namespace)


plugin.add_command(Lazy("policy", "kubectl_policy"))
_seconds = click.option(
    "--seconds", default=60.0, show_default=True, type=output.Number(1, 3600),
    help="How long a node may take for each of two attempts.",
)  # fmt: skip


asking = options.together(
    "how",
    Asking,
    click.option(
        "--at-once", default=8, show_default=True, type=click.IntRange(1, 100),
        help="How many nodes are asked at once.",
    ),
    click.option("--without", multiple=True, help="Leave out this node.  Repeatable."),
    _seconds,
)  # fmt: skip


@plugin.command()
@click.argument("workload", required=False)
@asking
@report_merged.shown
@click.option("--save", type=click.File("wb", lazy=True), help="Write the nodes' documents there.")
@click.pass_obj
def report(
    cluster: Kubectl,
    /,
    workload: str | None,
    *,
    how: Asking,
    page: Path | None,
    save: BinaryIO | None,
    **flags: bool,
) -> bool:
    """Show what would break on any node, by workload; with WORKLOAD, only that one, in full.

    `runc-wrapctl report --merge FILE` reads what --save writes.

    Exit status 1: a workload would break or is unknown, or a node did not answer.
    """
    found = _gathered(cluster, how, save, candidate=flags["candidate"])
    return report_merged.show(paths.installed(), found, workload, page, flags)


@plugin.command("suggest")
@click.argument("workload")
@asking
@report_merged.allowed
def suggestion(
    cluster: Kubectl, /, workload: str, *, how: Asking, base: Path | None, **flags: bool
) -> None:
    """Print the profile of WORKLOAD, plus the calls that any node has seen it to need."""
    found = _gathered(cluster, how)
    everyone = report_merged.with_profiles(paths.installed(), found, base)
    suggest.show(_IN_CLUSTER, everyone, workload, **flags)


def _gathered(
    cluster: Kubectl, how: Asking, save: BinaryIO | None = None, *, candidate: bool = False
) -> FleetReport:
    """Ask all nodes and return what they say together; keep their documents in a file, if asked."""
    form = CANDIDATE_FORM if candidate else FORM
    query = Query(cluster, (*PROGRAM, "report", *["--candidate"] * candidate), how)
    with output.progress("Asking nodes") as meter, memory_bound.bounded() as check:
        found = FleetReport(how.without, form, check)
        nodes, found.not_linux = node_queries.asked(cluster, without=how.without)
        for document, size in query.documents(nodes, meter):
            if save:
                save.write(node_queries.lines(document))
                save.flush()
            found.take(NodeAnswer(document["node"], document, size=size))
    say_who_is_left_out(found.not_linux)
    return found


def say_who_is_left_out(names: Sequence[str]) -> None:
    """Print on stderr which nodes were not asked, by their own word."""
    if names:
        shown = nodes_named(names, _SHOWN)
        output.warn(f"note: not asked, since they say that they do not run Linux: {shown}")


def nodes_named(names: Sequence[str], most: int, number: int = 0) -> str:
    """Return how many nodes these are, `number` or all, and the names of the first."""
    shown = safe_text.some([*map(safe_text.word, names)], most, number)
    return f"{safe_text.number(number or len(names), 'node')} ({shown})"


@plugin.command()
@click.argument("node", required=False)
@options.as_json
@_seconds
@click.pass_obj
def status(cluster: Kubectl, /, *, node: str | None, as_json: bool, seconds: float) -> bool:
    """Show each node: whether runc-wrap is ready there, and what the installer says of it.

    With NODE, all that the installer remembers of it: the whole reason, what `apply` remarked of
    the policy, what failed and when that is tried again. Exit status 1: a node is not ready, or is
    looked after by no running pod, so that what it said last may be old.
    """
    if node is not None:
        return _show(cluster, node, as_json=as_json, seconds=seconds)
    nodes = node_queries.nodes(cluster)
    doubts = node_queries.doubts(cluster, nodes)
    if as_json:
        output.document([{**one._asdict(), "doubt": doubts.get(one.name)} for one in nodes])
    else:
        output.table(_COLUMNS, [_row(one, doubts.get(one.name, "")) for one in nodes])
    return not all(one.is_ready and one.name not in doubts for one in nodes if one.is_linux)


def _row(one: ListedNode, doubt: str) -> tuple[str, ...]:
    health = _HEALTH.get(one.health, "Unknown")
    is_ready = "not ready" if not one.is_ready else "unknown" if doubt else "ready"
    state = "; ".join(filter(None, (one.state, doubt)))
    if not one.is_linux:
        state = f"not for it: says that it runs {one.system}"
    shown = (safe_text.name(word) or "-" for word in (one.version, state))
    return (safe_text.name(one.name), health, is_ready, *shown)


def _show(cluster: Kubectl, node: str, *, as_json: bool, seconds: float) -> bool:
    """Print the state; return whether the node is not well. Raises KubectlError."""
    found, _ = node_queries.asked(cluster)
    chosen = [one for one in found if one.node == node]
    if not chosen:
        name = safe_text.word(node)
        raise KubectlError(f"the cluster lists no Linux node {name}; see `kubectl get nodes`")
    query = Query(cluster, (*PROGRAM, "state"), Asking(1, seconds))
    with output.progress("Asking the node") as meter:
        ((document, _),) = query.documents(chosen, meter)
    if "error" in document:
        raise KubectlError(f"{safe_text.name(node)}: {safe_text.name(document['error'], _LONGEST)}")
    if as_json:
        output.document(document)
    else:
        output.say("\n".join(_lines(document)))
    return safe_text.name(document.get("state")) not in next_step.WELL


def _lines(document: dict[str, Any]) -> Iterator[str]:
    """Yield what a node says of itself, whatever types it has."""
    for name in _NAMES:
        if shown := safe_text.name(document.get(name), _LONGEST):
            yield f"{name:<8} {shown}"
    if document.get("state") is None:
        yield "state    the installer has reported none yet"
    for remark in _items(document, "remarks"):
        yield f"remark   {safe_text.name(remark, _LONGEST)}"
    for one in _items(document, "attempts"):
        found = one if isinstance(one, dict) else {}
        keys = ("step", "count", "again", "reason")
        step, count, again, reason = (safe_text.name(found.get(key), _LONGEST) for key in keys)
        yield f"failed   {step} ({count} times; tried again after {again}): {reason}"


def _items(document: dict[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    return found[:_MOST] if isinstance(found, list) else []
