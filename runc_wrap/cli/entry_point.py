"""The entry point of runc-wrapctl, which install.sh writes for an isolated interpreter."""

import os
import signal
import sys


def start() -> None:
    """Run the command. The programs that it starts get a fixed environment (host/program.py).

    It always has the name that the shells' completions know, whatever path called it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to tidy up before `main`
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as some supervisors and `>&-` do
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - starts fast; stays open
    from runc_wrap.cli.root_command import main  # noqa: PLC0415 - takes most of the time of a start

    main(prog_name="runc-wrapctl")
