"""`kubectl proxy` at a socket of our own, for exec in the installer's pods and nothing else.

kubectl itself takes 77 ms of CPU for one exec, its proxy 2 ms. It has the caller's credentials: the
socket lies in a directory that only the caller enters. A shell ends kubectl and removes both when
the command ends, also if that is killed. Where a HTTP proxy leads to the cluster there is none:
kubectl's would go past it.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.fleet.kubectl import Kubectl

_SECONDS = 20.0  # until it listens
_ENDING = 5.0
_LARGEST = 1 << 16
# Waits until the pipe that is its stdin closes: also if we are killed. Then it ends all of its
# process group, as kubectl in PATH may be a script that waits for it, and removes the directory $1.
# Only kubectl holds stdout, which so tells that it has ended.
_SCRIPT = """trap : HUP INT TERM
place=$1; shift
"$@" & exec >&-
read -r _
kill -TERM -$$
rm -rf -- "$place"
"""
_VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")


@contextmanager
def opened(kubectl: Kubectl, namespace: str) -> Iterator[Path | None]:
    """Yield the socket, None if there can be none; whoever asks then runs kubectl for each."""
    if _is_behind_proxy(kubectl):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="runc-wrap-") as place:  # mode 0700
        at = Path(place) / "api"
        paths = f"^/api/v1/namespaces/{re.escape(namespace)}/pods/[a-z0-9.-]+/exec$"
        words = (f"--unix-socket={at}", f"--accept-paths={paths}", "--reject-paths=^$",
                 "--reject-methods=^[^G]", "--append-server-path")  # fmt: skip
        process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "sh", place, kubectl.path, *kubectl.words, "proxy", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,  # the script ends it; Ctrl-C ends us, and the pipe's end the rest
        )
        try:
            yield at if _says_something(process) and at.is_socket() else None
        finally:
            _end(process)


def _is_behind_proxy(kubectl: Kubectl) -> bool:
    """Tell whether a proxy leads to the cluster, or that cannot be found out."""
    if any(os.environ.get(name) for name in _VARIABLES):
        return True
    return kubectl.server is None or bool(kubectl.server.proxy)


def _says_something(process: subprocess.Popen[bytes]) -> bool:
    """Wait until it says that it serves; False if it ends, or takes too long."""
    assert process.stdout  # noqa: S101 - it is a pipe
    ready, _, _ = select.select([process.stdout], [], [], _SECONDS)
    return bool(ready and os.read(process.stdout.fileno(), _LARGEST))


def _end(process: subprocess.Popen[bytes]) -> None:
    with process:  # closes its pipes
        assert process.stdin  # noqa: S101 - it is a pipe
        process.stdin.close()
        try:
            process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
