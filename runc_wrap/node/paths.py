"""Where things are on a node: one installation beneath one directory."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from runc_wrap.hotpath.policy_file import VERSION

DEFAULT_PREFIX = Path("/opt/runc-wrap")


@dataclass(frozen=True)
class Places:
    """The paths of one installation; `prefix` is what `install.sh --prefix` was given."""

    prefix: Path

    @property
    def wrapper(self) -> Path:
        """The runtime to register with an engine."""
        return self.prefix / "bin" / "runc-wrap"

    @property
    def etc(self) -> Path:
        """What the owner writes: all that is compiled comes from beneath it."""
        return self.prefix / "etc"

    @property
    def config(self) -> Path:
        """The owner's policy; need not exist."""
        return self.prefix / "etc" / "config.toml"

    @property
    def config_directory(self) -> Path:
        """Holds *.toml files that are read after `config`, in the order of their names."""
        return self.prefix / "etc" / "conf.d"

    @property
    def profiles(self) -> Path:
        """The owner's own profiles, which annotations name as localhost/<path beneath>."""
        return self.prefix / "etc" / "profiles"

    @property
    def var(self) -> Path:
        """What we write: the compiled policy, the record of engine changes."""
        return self.prefix / "var"

    @property
    def current(self) -> Path:
        """A symbolic link to the compiled policy in force."""
        return self.var / f"policy.{VERSION}" / "current"

    @property
    def runtime(self) -> Path:
        """Holds one symbolic link, runc or crun, to the real runtime: made by `apply`."""
        return self.prefix / "lib" / "runtime"

    @property
    def ledger(self) -> Path:
        """The record of decisions, which the hot path writes."""
        return self.var / "ledger"

    @property
    def agent(self) -> Path:
        """The agent's sockets, root's alone: decide, notify, metrics, exec and evidence.sock."""
        return self.var / "agent"

    @property
    def notify(self) -> Path:
        """Where the agent takes runtimes' seccomp listeners; as hotpath.agent_probe has it."""
        return self.agent / "notify.sock"

    @property
    def listeners(self) -> Path:
        """What the agent wrote down of each seccomp listener that it holds."""
        return self.agent / "listeners"

    @property
    def evidence(self) -> Path:
        """What the agent saw of each container's calls."""
        return self.var / "evidence"

    @property
    def engines(self) -> Path:
        """What `engine add` changed, and how to undo it."""
        return self.var / "engines"


def installed() -> Places:
    """Return the installation that this program runs from: PREFIX/lib/releases/RELEASE/venv."""
    venv = Path(sys.prefix)
    if venv.match("lib/releases/*/venv"):
        return Places(venv.parents[3])
    return Places(DEFAULT_PREFIX)
