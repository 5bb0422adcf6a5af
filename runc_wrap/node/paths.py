"""The paths of an installation, all in one directory."""

import os
import sys
from pathlib import Path

from runc_wrap.hotpath.policy_file import VERSION

DEFAULT_PREFIX = Path("/opt/runc-wrap")
PACKAGED = Path("/usr/lib/runc-wrap")  # the prefix of the .deb


class Places:
    """The paths of one installation; `prefix` is the argument of `install.sh --prefix`.

    `cluster_policy` is a symbolic link to the settings and profiles that a cluster sent, which does
    not exist elsewhere; another one may be given.
    """

    def __init__(self, prefix: Path, cluster_policy: Path | None = None) -> None:
        # no dataclass: the agent's program for metrics would load inspect
        self.prefix = prefix
        # the runtime to register with an engine
        self.wrapper = prefix / "bin" / "runc-wrap"
        # the owner's settings; *.toml in conf.d are read after config.toml, in the order of names
        self.etc = prefix / "etc"
        self.config_directory = self.etc / "conf.d"
        # the owner's own profiles; annotations name them as localhost/<path in here>
        self.profiles = self.etc / "profiles"
        # one symbolic link, runc or crun, to the real runtime, by `apply`
        self.runtime = prefix / "lib" / "runtime"
        # what runc-wrap writes
        self.var = prefix / "var"
        # a symbolic link to the compiled policy in force
        self.current = self.var / f"policy.{VERSION}" / "current"
        # the record of decisions, which the hot path writes
        self.ledger = self.var / "ledger"
        # the filters that `tighten` laid on containers, as DIGEST.bpf: the ledger names them
        self.tightened = self.var / "tightened"
        # the agent's sockets, for root only: decide, notify, exec and evidence.sock
        self.agent = self.var / "agent"
        # the socket to which runtimes send seccomp listeners; also in hotpath.agent_probe
        self.notify = self.agent / "notify.sock"
        # the agent's record of each seccomp listener that it holds, and of each container's calls
        self.listeners = self.agent / "listeners"
        self.evidence = self.var / "evidence"
        # the records of what `engine add` changed, and how to undo it
        self.engines = self.var / "engines"
        # what the installer in a cluster's pod writes, and its state; for root only
        self.cluster = self.var / "cluster"
        self.cluster_policy = cluster_policy or self.cluster / "policy" / "current"
        # the engines' own default profiles, as `profile capture` found them: ENGINE.json
        self.captured = self.var / "captured"
        # requests of a `profile capture` that runs, for root only (hotpath.captured_block)
        self.capture = self.var / "capture"

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


def installed() -> Places:
    """Return the installation that this program runs from: PREFIX/lib/releases/RELEASE/venv."""
    venv = Path(sys.prefix)
    if venv.match("lib/releases/*/venv"):
        return Places(venv.parents[3])
    return Places(DEFAULT_PREFIX)
