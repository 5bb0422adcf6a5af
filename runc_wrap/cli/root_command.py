"""runc-wrapctl: the root command. Subcommands are imported when they are called."""

import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from runc_wrap import safe_text
from runc_wrap.failure import Failure
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node import paths

# name -> summary; the module of that name has a click command of that name
COMMANDS = {
    "agent": "Run a service: fast decisions, or live evidence.",
    "apply": "Check the policy, compile it, put it in force.",
    "doctor": "Check this node for problems, and say what to do.",
    "engine": "Register with containerd, CRI-O, Podman or Docker, or undo it.",
    "explain": "Print the decision for a config.json, and its reason.",
    "metrics": "Print metrics for Prometheus, or write them to a file.",
    "policy": "Print what each setting of the policy means.",
    "profile": "List or show profiles, or capture an engine's own.",
    "report": "Show what would break under enforce, by workload.",
    "status": "Show each container: its decision and its kernel state.",
    "suggest": "Print a profile that allows what a workload needs.",
    "tighten": "Lay the overlay, or a profile, on what runs already.",
    "uninstall": "Take back what install.sh and `engine add` did.",
    "verify": "Compare the kernel's state with the decisions.",
    "version": "Print the versions of all that is involved.",
    "watch": "Print denied calls as they happen.",
    "selftest": "Run test containers and print their kernel state.",
}
# for whoever installs, and for the image of a cluster's installer
HIDDEN = ("cluster",)
_WRONG, _INTERRUPTED, _UNREAD = 1, 130, 141  # as in output.py, which is not imported here


class Tidy(click.Group):
    """A group in which a failure is a sentence; Ctrl-C, or a reader that has enough, is none."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Read the options, which may print the help."""
        with _tidied():
            return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> None:
        """Run the called command, which returns whether it found a problem."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # so that commands tidy up
        with _tidied():
            if super().invoke(context):
                raise SystemExit(_WRONG)


class Lazy(click.Command):
    """A command whose module is imported when it is called: runc_wrap.cli.<its name>, or `module`.

    A list shows its `short_help`; without that it is imported for its own.
    """

    def __init__(self, name: str, module: str = "", **how: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(name, **how)
        self._module = f"runc_wrap.cli.{module or name}"

    def loaded(self) -> click.Command:
        """Import and return the command itself."""
        command: click.Command = getattr(importlib.import_module(self._module), str(self.name))
        return command

    def make_context(self, *given: Any, **extra: Any) -> click.Context:  # noqa: ANN401 - click's
        """Begin to call it."""
        return self.loaded().make_context(*given, **extra)

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return what a list of commands shows."""
        return self.short_help or self.loaded().get_short_help_str(limit)


@contextmanager
def _tidied() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except BrokenPipeError:
        _discard_the_rest()
        raise SystemExit(_UNREAD) from None
    except click.UsageError as error:  # it has the caller's words: a pattern gives others' names
        error.message = safe_text.lines(error.message).replace("\n", "\\n")  # type: ignore[misc]
        raise
    except (Failure, Refusal, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
            _discard_the_rest()  # it may be stdout's: Python would end with 120
        from runc_wrap.cli import output  # noqa: PLC0415 - what has to start fast has none

        output.end(error)


def _discard_the_rest() -> None:
    """Let Python write what is left of the output to nobody when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=Tidy,
    commands=[
        *(Lazy(name, short_help=summary) for name, summary in COMMANDS.items()),
        *(Lazy(name, hidden=True) for name in HIDDEN),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--prefix",
    type=click.Path(path_type=Path, file_okay=False),
    help="The installation to use.  [default: the one this program belongs to]",
)
@click.option("--quiet", is_flag=True, help="Show no progress on a terminal.")
@click.version_option(package_name="runc-wrap")
@click.pass_context
def main(context: click.Context, prefix: Path | None, *, quiet: bool) -> None:  # noqa: ARG001 - output.progress asks the context
    """Operate runc-wrap on this node.

    Exit status: 0, success; 1, the command found a problem; 2, the command could not run.
    """
    context.obj = paths.Places(prefix.absolute()) if prefix else paths.installed()
    # install.sh and the packages apply the first policy before `lib/current` is there
    # without releases, registrations can be taken back, and what was recorded can be read
    is_one = not prefix or any((prefix / name).is_dir() for name in ("lib/releases", "var"))
    if prefix and context.invoked_subcommand not in HIDDEN and not is_one:
        from runc_wrap.installation import releases  # noqa: PLC0415 - for a failure only

        raise Failure(releases.missing(prefix))
