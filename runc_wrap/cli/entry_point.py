"""The entry point of runc-wrapctl, which install.sh writes for an isolated interpreter."""

from __future__ import annotations

import os

from runc_wrap.cli.main import main
from runc_wrap.node.installed_programs import FIXED_PATH


def start() -> None:
    """Run the command; its child processes look up programs in our fixed PATH, not the caller's.

    By whatever path it was called, its name is that which the shells' completions have.
    """
    os.environ["PATH"] = ":".join(FIXED_PATH)
    main(prog_name="runc-wrapctl")
