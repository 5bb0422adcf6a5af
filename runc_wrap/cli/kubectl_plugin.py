"""kubectl runc-wrap: the whole cluster's report, suggestions and state, and checking a policy.

It runs as whoever calls kubectl, with kubectl's own credentials and rights. kubectl finds it as
kubectl-runc_wrap in PATH.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runc_wrap.cli import kubectl_cluster, kubectl_status, output, report_merged, suggest
from runc_wrap.cli.kubectl_cluster import Asking, Cluster
from runc_wrap.cli.kubectl_policy import policy
from runc_wrap.cli.root_command import Tidy
from runc_wrap.fleet import kubectl
from runc_wrap.fleet.memory_bound import MemoryBound, without_collector
from runc_wrap.fleet.report_collection import Collection, lines
from runc_wrap.node import paths
from runc_wrap.report.merge.document_stream import Document, NodeAnswer
from runc_wrap.report.merge.fleet_report import FleetReport
from runc_wrap.report.merge.node_document import CANDIDATE_FORM, FORM

if TYPE_CHECKING:
    from typing import BinaryIO


# What the installer's pod runs: its node's own report, by the node's systemd
COMMAND = ("/runc-wrap/bin/runc-wrapctl", "cluster", "report")
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
    context.obj = Cluster(kubectl.found(words), namespace)


@plugin.command()
@click.argument("workload", required=False)
@kubectl_cluster.asking
@click.option("--candidate", is_flag=True, help="Report on the candidates beside profiles.")
@click.option("--all", "everyone", is_flag=True, help="Also list what needs no attention.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write an HTML page."
)
@click.option(
    "--save",
    type=click.File("wb", lazy=True),
    help="Write the nodes' documents, for `runc-wrapctl report --merge FILE`.",
)
@click.pass_obj
def report(  # noqa: PLR0913 - click gives each option as a parameter
    cluster: Cluster,
    /,
    workload: str | None,
    *,
    how: Asking,
    page: Path | None,
    save: BinaryIO | None,
    candidate: bool,
    **flags: bool,
) -> bool:
    """Show what would break on any node, by workload; with WORKLOAD, only that one, in full.

    Exit status 1: a workload would break or is unknown, or a node did not answer.
    """
    found = _gathered(cluster, how, save, candidate=candidate)
    return report_merged.show(paths.installed(), found, workload, page, flags)


@plugin.command("suggest")
@click.argument("workload")
@kubectl_cluster.asking
@report_merged.base
@click.option("--degrading", is_flag=True, help="Also allow calls that would get ENOSYS.")
@click.option("--allow-dangerous", is_flag=True, help="Also allow dangerous calls.")
@suggest.recorded
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def suggestion(
    cluster: Cluster,
    /,
    workload: str,
    *,
    how: Asking,
    base: Path | None,
    as_json: bool,
    **allowing: bool,
) -> None:
    """Print the profile of WORKLOAD, plus the calls that any node has seen it to need."""
    found = _gathered(cluster, how)
    places = paths.installed()
    everyone = report_merged.with_profiles(places, found, base)
    suggest.show(_IN_CLUSTER, everyone, workload, as_json=as_json, **allowing)


@plugin.command()
@click.argument("node", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@kubectl_cluster.seconds
@click.pass_obj
def status(cluster: Cluster, /, *, node: str | None, as_json: bool, seconds: float) -> bool:
    """Show each node: whether runc-wrap is ready there, and what the installer says of it.

    With NODE, all that the installer remembers of it: the whole reason, what `apply` remarked of
    the policy, what failed and when that is tried again. Exit status 1: a node is not ready, or is
    looked after by no running pod, so that what it said last may be old.
    """
    if node is None:
        return kubectl_status.show_all(cluster, as_json=as_json)
    return kubectl_status.show(cluster, node, as_json=as_json, seconds=seconds)


def _gathered(
    cluster: Cluster, how: Asking, save: BinaryIO | None = None, *, candidate: bool = False
) -> FleetReport:
    """Ask all nodes and return what they say together; keep their documents in a file, if asked."""
    form = CANDIDATE_FORM if candidate else FORM
    found = FleetReport(how.without, form, MemoryBound().check)
    command = (*COMMAND, *["--candidate"] * candidate)
    where = cluster.kubectl, cluster.namespace
    asked = Collection(*where, command, how.at_once, how.seconds)
    with output.progress("Asking nodes") as meter, without_collector():
        nodes, found.not_linux = kubectl_cluster.asked(cluster)
        chosen = [one for one in nodes if one.node not in how.without]
        for document, size in asked.documents(chosen, meter):
            if save:
                save.write(lines(document))
                save.flush()
            found.take(NodeAnswer(document["node"], Document(document), size=size))
    kubectl_cluster.say_who_is_left_out(found.not_linux)
    return found


plugin.add_command(policy)
