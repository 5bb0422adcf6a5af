"""runc-wrapctl: the root command. Subcommands are imported when they are called."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from runc_wrap.node import paths

# name -> (module with a click command of that name, summary)
COMMANDS = {
    "agent": ("runc_wrap.cli.agent", "Run the service: fast decisions, live evidence, metrics."),
    "apply": ("runc_wrap.cli.apply", "Check the policy, compile it, put it in force."),
    "doctor": ("runc_wrap.cli.doctor", "Look for what is wrong on this node, and say what to do."),
    "engine": ("runc_wrap.cli.engine", "Register with containerd, Podman or Docker; undo it."),
    "explain": ("runc_wrap.cli.explain", "Say what would be decided for a config.json, and why."),
    "metrics": ("runc_wrap.cli.metrics", "Print metrics for Prometheus, or write them to a file."),
    "policy": ("runc_wrap.cli.policy", "Print what each setting of the policy means."),
    "profile": ("runc_wrap.cli.profile", "List profiles, or show one as a container gets it."),
    "report": ("runc_wrap.cli.report", "Say what would break under enforce, for each workload."),
    "status": ("runc_wrap.cli.status", "Show each container: decided, and in the kernel."),
    "suggest": ("runc_wrap.cli.suggest", "Print a profile with what a workload was seen to need."),
    "verify": ("runc_wrap.cli.verify", "Check the kernel against what was decided."),
    "watch": ("runc_wrap.cli.watch", "Print denied calls as they happen."),
    "selftest": ("runc_wrap.cli.selftest", "Run containers and print what the kernel says."),
}


class Lazy(click.Group):
    """A group that knows its commands by name and imports only the one that is called."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the names, in order."""
        return sorted(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import and return the command of this name."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[name][0])
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.command(cls=Lazy)
@click.option(
    "--prefix",
    type=click.Path(path_type=Path, file_okay=False),
    help="The installation to work on.  [default: the one this program belongs to]",
)
@click.version_option(package_name="runc-wrap")
@click.pass_context
def main(context: click.Context, prefix: Path | None) -> None:
    """Operate runc-wrap on this node.

    Exit status: 0 done and well; 1 done, and something is wrong; 2 could not be done.
    """
    context.obj = paths.Places(prefix.absolute()) if prefix else paths.installed()
