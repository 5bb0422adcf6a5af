"""The paths of an installation, all in one directory."""

import os
import sys
from pathlib import Path

from runc_wrap.hotpath.policy_file import VERSION

DEFAULT_PREFIX = Path("/opt/runc-wrap")
PACKAGED = Path("/usr/lib/runc-wrap")  # the prefix of the .deb


class Places:
    """The paths of one installation; `prefix` is the argument of `install.sh --prefix`."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix  # no dataclass: the agent's program for metrics would load inspect

    @property
    def wrapper(self) -> Path:
        """The runtime to register with an engine."""
        return self.prefix / "bin" / "runc-wrap"

    @property
    def etc(self) -> Path:
        """The owner's settings and profiles."""
        return self.prefix / "etc"

    @property
    def cluster_policy(self) -> Path:
        """A symbolic link to the settings and profiles that a cluster sent; none elsewhere."""
        return self.cluster / "policy" / "current"

    def sources(self) -> tuple[Path, Path]:
        """Return the directories that `apply` compiles; of two files of one name the second's."""
        return self.etc, self.cluster_policy

    @property
    def config(self) -> Path:
        """The file in which this node's owner writes settings; may be missing.

        In a cluster config.toml is the cluster's, and the node's own settings are in conf.d.
        """
        if os.path.islink(self.cluster_policy):  # noqa: PTH114 - False for who may not look
            return self.config_directory / "90-node.toml"
        return self.etc / "config.toml"

    @property
    def config_directory(self) -> Path:
        """The directory of *.toml files that are read after `config`, in the order of names."""
        return self.etc / "conf.d"

    @property
    def profiles(self) -> Path:
        """The owner's own profiles; annotations name them as localhost/<path in here>."""
        return self.etc / "profiles"

    @property
    def var(self) -> Path:
        """What runc-wrap writes: the compiled policy, the ledger, evidence and the like."""
        return self.prefix / "var"

    @property
    def current(self) -> Path:
        """A symbolic link to the compiled policy in force."""
        return self.var / f"policy.{VERSION}" / "current"

    @property
    def runtime(self) -> Path:
        """The directory of one symbolic link, runc or crun, to the real runtime, by `apply`."""
        return self.prefix / "lib" / "runtime"

    @property
    def ledger(self) -> Path:
        """The record of decisions, which the hot path writes."""
        return self.var / "ledger"

    @property
    def tightened(self) -> Path:
        """The filters that `tighten` laid on containers, as DIGEST.bpf: the ledger names them."""
        return self.var / "tightened"

    @property
    def agent(self) -> Path:
        """The agent's sockets, for root only: decide, notify, exec and evidence.sock."""
        return self.var / "agent"

    @property
    def notify(self) -> Path:
        """The socket to which runtimes send seccomp listeners; also in hotpath.agent_probe."""
        return self.agent / "notify.sock"

    @property
    def listeners(self) -> Path:
        """The agent's record of each seccomp listener that it holds."""
        return self.agent / "listeners"

    @property
    def evidence(self) -> Path:
        """The agent's record of each container's calls."""
        return self.var / "evidence"

    @property
    def engines(self) -> Path:
        """The records of what `engine add` changed, and how to undo it."""
        return self.var / "engines"

    @property
    def cluster(self) -> Path:
        """What the installer in a cluster's pod writes, and its state; for root only."""
        return self.var / "cluster"

    @property
    def captured(self) -> Path:
        """The engines' own default profiles, as `profile capture` found them: ENGINE.json."""
        return self.var / "captured"

    @property
    def capture(self) -> Path:
        """Requests of a `profile capture` that runs, for root only (hotpath.captured_block)."""
        return self.var / "capture"


class Candidate(Places):
    """The same installation with another policy of the cluster."""

    def __init__(self, prefix: Path, candidate: Path) -> None:
        super().__init__(prefix)
        self._candidate = candidate

    @property
    def cluster_policy(self) -> Path:
        """The candidate's settings and profiles."""
        return self._candidate


def installed() -> Places:
    """Return the installation that this program runs from: PREFIX/lib/releases/RELEASE/venv."""
    venv = Path(sys.prefix)
    if venv.match("lib/releases/*/venv"):
        return Places(venv.parents[3])
    return Places(DEFAULT_PREFIX)
