"""The container that shows what an engine does: started through it, looked at, removed by name.

A canary asks for no seccomp profile, so that it gets ours (Podman's keeps Podman's own), and waits.
A request of a capture asks for the engine's own default and exactly some capabilities; our launcher
records what the engine hands to it and refuses, so that no process ever starts.

Nothing is pulled: Docker imports our image, Podman gets our root file system, containerd and CRI-O
start a pod with the sandboxes' image. A name marks them as ours, not a label: an image's author
could give that to all containers. A capture's token is in no command line, which every user can
read: a container that has it while a request waits would be recorded instead.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

from runc_wrap.hotpath.main import CAPTURE as VARIABLE
from runc_wrap.node import paths

CANARY, CAPTURE = "canary", "capture"
_DIGITS = 8
# the installation that runs: another prefix has probes of its own on the same node
OWNER = hashlib.sha256(str(paths.installed().prefix).encode()).hexdigest()[:_DIGITS]
TOKEN = VARIABLE.decode().removesuffix("=")  # the variable that has it
COMMAND = "/none"  # of a request: it would not start if our launcher did not refuse


class Probe(NamedTuple):
    """What is asked for: `purpose` is CANARY or CAPTURE.

    `handler` is a handler's name, "" for the engine's default, or a path where the engine takes
    one. `caps` are exactly those of a request, as CAP_NAME; its `token` proves that root asks.
    """

    purpose: str
    handler: str = ""
    caps: frozenset[str] = frozenset()
    token: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the container."""
        return {TOKEN: self.token} if self.token else {}


class Started(NamedTuple):
    """The container's id, "" if it did not start; what the engine said of that, in one line."""

    id: str
    said: str = ""


def name(purpose: str) -> str:
    """Return a name for a container of Docker's or Podman's."""
    return f"runc-wrap-{purpose}-{OWNER}{secrets.token_hex(_DIGITS // 2)}"


def pattern(purpose: str) -> str:
    """Return the regular expression for all such names."""
    return f"^runc-wrap-{purpose}-{OWNER}[0-9a-f]{{{_DIGITS}}}$"
