"""The entry point of runc-wrapctl, which install.sh writes for an isolated interpreter."""

from __future__ import annotations

import signal


def start() -> None:
    """Run the command. The programs that it starts get a fixed environment (host/program.py).

    It always has the name that the shells' completions know, whatever path called it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to tidy up before `main`
    from runc_wrap.cli.main import main  # noqa: PLC0415 - takes most of the time of a start

    main(prog_name="runc-wrapctl")
