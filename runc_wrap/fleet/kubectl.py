"""Running the caller's own kubectl: it has the credentials, the proxies and the transport.

It is found by PATH and gets the caller's environment, which its credentials may need. Its time and
what it prints are bounded.
"""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runc_wrap import safe_text
from runc_wrap.failure import Failure
from runc_wrap.host import program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runc_wrap.host.program import Ended

_MOST_SAID = 1000  # characters
_ENDED = "command terminated with exit code"
_VIEW = ("config", "view", "--minify", "--output", "jsonpath={.clusters[0].cluster.server}")
_VIEWING = 60.0  # seconds
_LARGEST_VIEW = 1 << 16


class KubectlError(Failure):
    """kubectl could not do it; the message is a sentence."""


class TooLargeError(KubectlError):
    """It prints more than may be read."""


@dataclass(frozen=True)
class Kubectl:
    """The program, and the words that say which cluster and as whom (--context and the like)."""

    path: str
    words: tuple[str, ...] = ()
    given_up: threading.Event = field(default_factory=threading.Event)  # ends all that run

    @cached_property
    def server_path(self) -> str:
        """The path of the kubeconfig's server, as of a gateway to several clusters; often "".

        Asked for once in a command: each start of kubectl takes 80 ms.
        """
        try:
            printed = self.run(*_VIEW, seconds=_VIEWING, largest=_LARGEST_VIEW)
            path = urlsplit(printed.decode(errors="replace").strip()).path
        except (KubectlError, ValueError):  # without a kubeconfig: in a pod, say
            return ""
        return path.rstrip("/") if path.startswith("/") else ""

    def run(self, *words: str, seconds: float, largest: int) -> bytes:
        """Return what it printed. Raises KubectlError, also if it failed."""
        ended = self.ended(*words, seconds=seconds, largest=largest)
        if ended.status:
            raise KubectlError(said(ended.complaint) or ended.said)
        return ended.raw

    def ended(self, *words: str, seconds: float, largest: int, given: bytes = b"") -> Ended:
        """Return how it ended; `given` is its stdin.

        Raises KubectlError if it cannot be started or takes longer, TooLargeError if it prints
        more than `largest`.
        """
        ended = program.run(
            self.path, *self.words, *words, seconds=seconds, stdin=given, environment=os.environ,
            largest=largest, is_given_up=self.given_up.is_set,
        )  # fmt: skip
        match ended.status:
            case program.TOO_MUCH:
                raise TooLargeError(f"it answered with more than {largest >> 20} MiB")
            case program.HUNG | program.GIVEN_UP:
                raise KubectlError(ended.said)
        return ended


def found(words: Sequence[str]) -> Kubectl:
    """Return the kubectl of the caller's PATH. Raises KubectlError."""
    path = shutil.which("kubectl")
    if path is None:
        raise KubectlError("kubectl is not in PATH; install it, or call the plugin through it")
    return Kubectl(path, tuple(words))


def said(complaint: str) -> str:
    """Return the last line of what kubectl said, whole if it is not endless.

    Where that tells only the status of what was run in a pod, the one before is what that said.
    """
    lines = [" ".join(line.split()) for line in complaint.splitlines() if line.strip()]
    number = 2 if lines and lines[-1].startswith(_ENDED) else 1
    return safe_text.fitted(" ".join(lines[-number:]), _MOST_SAID)
