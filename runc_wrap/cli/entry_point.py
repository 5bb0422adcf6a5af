"""What the program runc-wrapctl calls. install.sh writes that, with an isolated interpreter."""

from __future__ import annotations

import os

from runc_wrap.cli.main import main
from runc_wrap.node.installed_programs import FIXED_PATH


def start() -> None:
    """Run the command; what it starts looks for programs where we do, not where the caller does."""
    os.environ["PATH"] = ":".join(FIXED_PATH)
    main()
