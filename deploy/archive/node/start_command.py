"""Starts runc-wrapctl. start.c says first how it was called; without `site` it starts sooner."""

import sys

sys.argv[:1] = []
sys.path.append(sys.path[-1].removesuffix("lib-dynload") + "site-packages")

from runc_wrap.cli.entry_point import start

start()
