"""What `kubectl runc-wrap` asks of a node: its report, and what another policy would change there.

The host's systemd runs what answers. In the pod the host's processes, the runtimes' state and the
kernel's records cannot be seen: a report made there would call everything unknown, and a policy
would be checked against an engine that is not there. Each request has a unit and files of its own,
so that two who ask at once do not get each other's half. What an interrupted one left is removed by
the next request, or by the installer when it looks at its node again.
"""

import contextlib
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from runc_wrap import safe_text
from runc_wrap.cluster import configmap_policy, next_step, policy_directory, state_file
from runc_wrap.cluster.host_commands import transient_unit
from runc_wrap.cluster.host_commands.systemd_dbus import Manager
from runc_wrap.failure import Failure
from runc_wrap.host import files
from runc_wrap.hotpath.decision import Decision
from runc_wrap.installation import releases
from runc_wrap.ledger.decision_record import Record
from runc_wrap.node import installed_programs
from runc_wrap.node.container_state import container_status, redecide
from runc_wrap.node.paths import Places
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.policy_compiler import Compiled

Json = dict[str, Any]
LARGEST = 16 << 20  # bytes, as of a document that is merged
_SECONDS = 50.0  # less than `kubectl runc-wrap` waits
_OLD = 600.0  # seconds after which no request waits for its files any more
_REPORT, _CHECK = "report-", "check-"
FORM = 1  # of `trial`
MOST_CHANGES = 1000  # containers; a kubelet takes some hundred pods
_MOST_REMARKS = 100
_LONGEST = 2000  # characters of a sentence


def report(places: Places, manager: Manager, node: str, *flags: str) -> bytes:
    """Return what the node's `report --json` prints under this name. Raises Failure."""
    request = f"{_REPORT}{secrets.token_hex(6)}"
    return _asked(places, manager, request, "report", "--json", "--node", node, *flags)


def policy_check(places: Places, manager: Manager, node: str, sent: bytes) -> bytes:
    """Return what the node says of a policy that is not put in force: `trial`.

    Raises Failure, and OSError if the candidate cannot be written.
    """
    request = f"{_CHECK}{secrets.token_hex(6)}"
    try:
        policy_directory.write_files(places.cluster / request, configmap_policy.received(sent))
        return _asked(places, manager, request, "cluster", "try-policy", request, "--node", node)
    finally:
        _remove(places.cluster, request)


def _asked(places: Places, manager: Manager, request: str, *words: str) -> bytes:
    """Return what the node's runc-wrapctl prints. Raises Failure."""
    program = places.wrapper.with_name("runc-wrapctl")
    if not program.exists():
        raise Failure("runc-wrap is not installed on this node")
    argv = (str(program), "--prefix", str(places.prefix), *words)
    try:
        forget_interrupted(places.cluster)
        command = transient_unit.Command(request, argv, _SECONDS, stays=False)
        ended = transient_unit.run(manager, places.cluster, command)
        printed = _printed(places.cluster / f"{request}.out")
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


def trial(places: Places, candidate: Path, node: str) -> Json:
    """Return what this node would do with another policy of the cluster: on the host.

    It is checked as the installer's `apply` checks it: with this node's engines, runtime, kernel,
    own profiles and conf.d. Then each running container is decided again. Nothing is put in force.

    `refused`: why it would not be put in force, null if it would. `changes` are the running
    containers about which it decides differently; `changed` counts them all. Raises OSError.
    """
    found: Json = {"form": FORM, "node": node, "refused": None, "remarks": [], "changes": []}
    try:
        compiled, remarks = _checked(places, candidate)
    except (configmap_policy.PolicyNotTaken, PolicyError) as error:
        return {**found, "refused": _sentence(str(error)), "changed": 0}
    changes = [*redecide.changes(compiled, container_status.gather(places.ledger).entries)]
    rows = [_row(one, one.entry.record) for one in changes[:MOST_CHANGES] if one.entry.record]
    shown = [_sentence(one) for one in remarks[:_MOST_REMARKS]]
    return {**found, "remarks": shown, "changed": len(changes), "changes": rows}


def _checked(places: Places, directory: Path) -> tuple[Compiled, list[str]]:
    """Check it as the installer would. Raises PolicyNotTaken, PolicyError and OSError."""
    record = state_file.read(places)
    if record.is_other_release(releases.in_force(places.prefix)):
        raise configmap_policy.PolicyNotTaken(next_step.OTHER_RELEASE)
    if not (directory / configmap_policy.MODE).exists():  # a config.toml alone changes no overlay
        policy_directory.add_files(directory, policy_directory.mode_in_force(places))
    compiled, remarks = policy_directory.check(Places(places.prefix, directory))
    installed_programs.check_switch(places, compiled.policy["runtime"]["kind"])
    return compiled, [one.replace(f"{directory}/", "") for one in remarks]


def _row(change: redecide.DecisionChange, record: Record) -> Json:
    names = {key: getattr(record, key) for key in ("namespace", "pod", "container", "image")}
    return {
        **{key: value and value[:_LONGEST] for key, value in names.items()},
        "id": record.id[:_LONGEST],
        "now": _decision(record),
        "then": change.then and _decision(change.then),
        "refused": _sentence(change.refused) if change.then is None else None,
    }


def _decision(found: Decision | Record) -> Json:
    return {name: getattr(found, name) for name in ("action", "mode", "profile", "reason")}


def _sentence(printed: str) -> str:
    return safe_text.name(" ".join(printed.split()), _LONGEST)
