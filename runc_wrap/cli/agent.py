"""runc-wrapctl agent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from runc_wrap.agent import agent_paths, systemd_protocol
from runc_wrap.agent.metrics_http import loopback
from runc_wrap.cli import output

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places


@click.command()
@click.option(
    "--metrics",
    metavar="ADDRESS",
    help="Also serve metrics at this address, for example 127.0.0.1:9555.",
)
@click.pass_obj
def agent(places: Places, metrics: str | None) -> None:
    """Run the agent until a signal ends it: fast decisions, live evidence, metrics.

    It is optional; without it each create takes some milliseconds longer. systemd starts it with
    deploy/runc-wrap-agent.service. SIGHUP switches to the installed release, SIGTERM ends it.
    """
    if os.geteuid() != 0:
        raise output.Failure(
            "The agent does not run as root, whose creates it must answer; run it as root."
        )
    words = agent_paths.command_anew(str(places.prefix), "keeper")
    handed = systemd_protocol.received(os.environb)
    try:
        listening = loopback.listen(metrics) if metrics else None
        handed += [systemd_protocol.Named("loopback", listening.fileno())] if listening else []
        systemd_protocol.become(words, handed, os.environb)
    except (OSError, ValueError) as error:
        output.fail(error)
