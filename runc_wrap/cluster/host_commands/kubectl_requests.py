"""What `kubectl runc-wrap` asks of a node: made on the host, by its systemd, not in the pod.

In the pod the host's processes, the runtimes' state and the kernel's records cannot be seen: a
report made there would call everything unknown, and a policy would be checked against an engine
that is not there. Each request has a unit and files of its own, so that two who ask at once do not
get each other's half. What an interrupted one left is removed by the next request, or by the
installer when it looks at its node again.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from typing import TYPE_CHECKING

from runc_wrap.cluster.cluster_policy import configmap_policy, policy_directory
from runc_wrap.cluster.host_commands import transient_unit
from runc_wrap.cluster.host_commands.systemd_manager import SystemdError
from runc_wrap.cluster.host_commands.transient_unit import Command
from runc_wrap.failure import Failure
from runc_wrap.host import files

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.cluster.host_commands.systemd_manager import Manager
    from runc_wrap.node.paths import Places

LARGEST = 16 << 20  # bytes, as of a document that is merged
_SECONDS = 50.0  # less than `kubectl runc-wrap` waits
_OLD = 600.0  # seconds after which no request waits for its files any more
_REPORT, _CHECK = "report-", "check-"


def report(places: Places, manager: Manager, node: str, *flags: str) -> bytes:
    """Return what the node's `report --json` prints under this name. Raises Failure."""
    words = ("report", "--json", "--node", node, *flags)
    return _asked(places, manager, _request(_REPORT), words)


def policy_check(places: Places, manager: Manager, node: str, sent: bytes) -> bytes:
    """Return what the node says of a policy that is not put in force: policy_trial's document.

    Raises Failure, and OSError if the candidate cannot be written.
    """
    request = _request(_CHECK)
    try:
        wanted = configmap_policy.received(sent)
        policy_directory.write_files(places.cluster / request, wanted)
        words = ("cluster", "try-policy", request, "--node", node)
        return _asked(places, manager, request, words)
    except configmap_policy.PolicyNotTaken as error:
        raise Failure(str(error)) from None
    finally:
        _remove(places.cluster, request)


def _request(step: str) -> str:
    return f"{step}{secrets.token_hex(6)}"


def _asked(places: Places, manager: Manager, request: str, words: tuple[str, ...]) -> bytes:
    """Return what the node's runc-wrapctl prints. Raises Failure."""
    program = places.wrapper.with_name("runc-wrapctl")
    if not program.exists():
        raise Failure("runc-wrap is not installed on this node")
    argv = (str(program), "--prefix", str(places.prefix), *words)
    try:
        forget_interrupted(places.cluster)
        command = Command(request, argv, _SECONDS, stays=False)
        ended = transient_unit.run(manager, places.cluster, command)
        printed = _printed(places.cluster / f"{request}.out")
    except SystemdError as error:
        raise Failure(str(error)) from None
    finally:
        _remove(places.cluster, request)
    if not printed.strip():
        raise Failure(ended.reason)
    return printed


def _printed(path: Path) -> bytes:
    """Return the document: it is there even if the status says that something would break."""
    try:
        return files.read(path, LARGEST)
    except files.TooLarge:
        raise Failure(f"the answer is larger than {LARGEST >> 20} MiB") from None
    except OSError:
        return b""


def forget_interrupted(place: Path) -> None:
    """Remove the files of requests that were interrupted; their units are gone by themselves."""
    for step in (_REPORT, _CHECK):
        for path in place.glob(f"{step}*"):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < time.time() - _OLD:
                    _remove(place, path.name.partition(".")[0])


def _remove(place: Path, request: str) -> None:
    for name in ("out", "err"):
        with contextlib.suppress(OSError):
            (place / f"{request}.{name}").unlink()
    shutil.rmtree(place / request, ignore_errors=True)
