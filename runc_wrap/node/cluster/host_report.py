"""The node's own report, for `kubectl runc-wrap`: made on the host, by its systemd, not in the pod.

In the pod the host's processes, the runtimes' state and the kernel's records cannot be seen, and a
report made there would call everything unknown. Each request has a unit and files of its own, so
that two who ask at once do not get each other's half; what an interrupted one left is removed by
the next.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING

from runc_wrap.host import files
from runc_wrap.node.cluster import host_command
from runc_wrap.node.cluster.host_command import Command
from runc_wrap.node.cluster.systemd_manager import SystemdError

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.cluster.host_command import Manager
    from runc_wrap.node.paths import Places

LARGEST = 16 << 20  # bytes, as of a document that is merged
_SECONDS = 50.0  # less than `kubectl runc-wrap` waits
_OLD = 600.0  # seconds after which no request waits for its files any more
_STEP = "report-"


class NoReport(Exception):
    """There is no report to be had; the message says why."""


def document(places: Places, manager: Manager, node: str) -> bytes:
    """Return what the node's `report --json` prints under this name. Raises NoReport."""
    program = places.wrapper.with_name("runc-wrapctl")
    if not program.exists():
        raise NoReport("runc-wrap is not installed on this node")
    _remove_old(places.cluster)
    words = ("--prefix", str(places.prefix), "report", "--json", "--node", node)
    command = Command(f"{_STEP}{secrets.token_hex(6)}", (str(program), *words), _SECONDS)
    try:
        ended = host_command.run(manager, places.cluster, command)
        printed = _printed(places.cluster / f"{command.step}.out")
    except SystemdError as error:
        raise NoReport(str(error)) from None
    finally:
        _remove(places.cluster, command.step)
    if not printed.strip():
        raise NoReport(ended.reason)
    return printed


def _printed(path: Path) -> bytes:
    """Return the document: it is there even if the status says that something would break."""
    try:
        return files.read(path, LARGEST)
    except files.TooLarge:
        raise NoReport(f"the report is larger than {LARGEST >> 20} MiB") from None
    except OSError:
        return b""


def _remove_old(place: Path) -> None:
    """Remove files of requests that were interrupted."""
    before = time.time() - _OLD
    with contextlib.suppress(OSError):
        for path in place.glob(f"{_STEP}*"):
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)


def _remove(place: Path, step: str) -> None:
    for name in ("out", "err"):
        with contextlib.suppress(OSError):
            (place / f"{step}.{name}").unlink()
