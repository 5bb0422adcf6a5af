"""runc-wrapctl metrics: print them, or write a file for node_exporter's textfile collector."""

from pathlib import Path

import click

from runc_wrap.cli import options, output
from runc_wrap.failure import Failure
from runc_wrap.host import files
from runc_wrap.metrics import metrics_collector, metrics_file, prometheus_series
from runc_wrap.node import flush_request
from runc_wrap.node.paths import Places

_MODE = 0o644  # node_exporter runs as another user


@click.command()
@click.option(
    "--textfile", type=options.FILE, help="Write there instead, readable by all; it ends in .prom."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@click.pass_obj
def metrics(places: Places, *, textfile: Path | None, as_json: bool) -> None:
    """Print this node's metrics in Prometheus' text format.

    Where the agent runs, this also rewrites its file var/metrics/runc-wrap.prom.
    """
    if textfile and as_json:
        raise click.UsageError("--textfile writes Prometheus' text format; leave --json out")
    if textfile and textfile.suffix != ".prom":
        raise Failure(f"{textfile} does not end in .prom, as node_exporter wants it; rename it")
    asked = flush_request.ask(places)
    if asked.why and not asked.is_absent:
        output.warn(f"note: {asked.why}: calls of the last seconds may be missing")
    with output.progress("Counting decisions and calls"):
        found = metrics_collector.gather(places)
    text = prometheus_series.text_of(found)
    if textfile:
        files.replace(textfile.absolute(), text, _MODE, is_synced=False)
    elif not asked.is_absent:
        metrics_file.write(places, text)
    if as_json:
        output.document(prometheus_series.document(found))
    elif not textfile:
        click.echo(text, nl=False)
