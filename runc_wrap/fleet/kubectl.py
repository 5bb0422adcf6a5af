"""Running the caller's own kubectl: it has the credentials, the proxies and the transport.

It is found by PATH and gets the caller's environment, which its credentials may need. Its time and
what it prints are bounded. Words are an argument list, never a shell's.
"""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runc_wrap import text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK = 1 << 16
_LARGEST_COMPLAINT = 1 << 16
_MOST_SAID = 1000  # characters
_ENDED = "command terminated with exit code"
_PAUSE = 0.2  # seconds between looks at the clock
_VIEW = ("config", "view", "--minify", "--output", "jsonpath={.clusters[0].cluster.server}")
_VIEWING = 60.0  # seconds
_LARGEST_VIEW = 1 << 16


class KubectlError(Exception):
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

    def run(self, *words: str, seconds: float, largest: int, given: bytes = b"") -> bytes:
        """Return what it printed. Raises KubectlError, also if it failed."""
        ended = self.ended(*words, seconds=seconds, largest=largest, given=given)
        printed, complaint, status = ended
        if status:
            raise KubectlError(said(complaint) or f"kubectl ended with status {status}")
        return printed

    def ended(
        self, *words: str, seconds: float, largest: int, given: bytes = b""
    ) -> tuple[bytes, bytes, int]:
        """Return what it printed, its stderr and its status; `given` is its stdin.

        Raises KubectlError if it cannot be started or takes longer, TooLargeError if it prints
        more than `largest`.
        """
        try:
            with _as_file(given) as stdin:
                process = subprocess.Popen(
                    [self.path, *self.words, *words],
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
        except OSError as error:
            raise KubectlError(f"{self.path}: {error.strerror}") from None
        with process:
            try:
                until = time.monotonic() + seconds
                printed, complaint = self._output(process, until, largest)
                status = process.wait(max(seconds, 1.0))
            except subprocess.TimeoutExpired:
                raise KubectlError(f"it did not answer within {seconds:g} s") from None
            finally:
                process.kill()  # does nothing if it has ended
        return printed, complaint, status

    def _output(
        self, process: subprocess.Popen[bytes], until: float, largest: int
    ) -> tuple[bytes, bytes]:
        """Read both pipes to their ends. Raises TimeoutExpired and KubectlError."""
        assert process.stdout  # noqa: S101 - both are pipes
        assert process.stderr  # noqa: S101
        texts = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
        first = process.stdout.fileno()
        with selectors.DefaultSelector() as waiting:
            for descriptor in texts:
                waiting.register(descriptor, selectors.EVENT_READ)
            while waiting.get_map():
                if self.given_up.is_set():
                    raise KubectlError("it was interrupted")
                if time.monotonic() > until:
                    raise subprocess.TimeoutExpired(process.args, 0)
                for key, _ in waiting.select(_PAUSE):
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        waiting.unregister(key.fd)
                    elif key.fd == first or len(texts[key.fd]) < _LARGEST_COMPLAINT:
                        texts[key.fd] += chunk
                if len(texts[first]) > largest:
                    raise TooLargeError(f"it answered with more than {largest >> 20} MiB")
        printed, complaint = texts.values()
        return bytes(printed), bytes(complaint)


@contextmanager
def _as_file(given: bytes) -> Iterator[int]:
    """Return a descriptor to read it from: a file, as whoever wrote into a pipe could be kept."""
    if not given:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(given)
        file.seek(0)
        yield file.fileno()


def found(words: Sequence[str]) -> Kubectl:
    """Return the kubectl of the caller's PATH. Raises KubectlError."""
    path = shutil.which("kubectl")
    if path is None:
        raise KubectlError("kubectl is not in PATH; install it, or call the plugin through it")
    return Kubectl(path, tuple(words))


def said(complaint: bytes) -> str:
    """Return the last line of what kubectl said, whole if it is not endless.

    Where that tells only the status of what was run in a pod, the one before is what that said.
    """
    told = complaint.decode(errors="replace").splitlines()
    lines = [" ".join(line.split()) for line in told if line.strip()]
    number = 2 if lines and lines[-1].startswith(_ENDED) else 1
    return text.fitted(" ".join(lines[-number:]), _MOST_SAID)
