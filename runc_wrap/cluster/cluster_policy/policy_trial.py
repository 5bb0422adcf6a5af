"""What this node would do with another policy of the cluster: for `kubectl runc-wrap policy check`.

It is checked as the installer's `apply` checks it: with this node's engines, runtime, kernel, own
profiles and conf.d. Then each running container is decided again. Nothing is put in force.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text
from runc_wrap.cluster import next_step, state_file
from runc_wrap.cluster.cluster_policy import configmap_policy, policy_directory
from runc_wrap.installation import releases
from runc_wrap.node import installed_programs
from runc_wrap.node.container_state import container_status, redecide
from runc_wrap.policy.compiler_facts import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runc_wrap.hotpath.decision import Decision
    from runc_wrap.ledger.decision_record import Record
    from runc_wrap.node.container_state.redecide import DecisionChange
    from runc_wrap.node.paths import Places
    from runc_wrap.policy.policy_compiler import Compiled

Json = dict[str, Any]
FORM = 1
MOST_CHANGES = 1000  # containers; a kubelet takes some hundred pods
MOST_REMARKS = 100
_LONGEST = 2000  # characters of a sentence


def document(places: Places, candidate: Path, node: str) -> Json:
    """Return what this node says of a candidate.

    `refused`: why it would not be put in force, null if it would. `changes` are the running
    containers about which it decides differently; `changed` counts them all. Raises OSError.
    """
    found: Json = {"form": FORM, "node": node, "refused": None, "remarks": [], "changes": []}
    try:
        compiled, remarks = _checked(places, candidate)
    except (configmap_policy.PolicyNotTaken, PolicyError) as error:
        return {**found, "refused": _sentence(str(error)), "changed": 0}
    changes = [*redecide.changes(compiled, container_status.gather(places.ledger).entries)]
    rows = _rows(islice(changes, MOST_CHANGES))
    shown = [_sentence(one) for one in remarks[:MOST_REMARKS]]
    return {**found, "remarks": shown, "changed": len(changes), "changes": rows}


def _checked(places: Places, directory: Path) -> tuple[Compiled, list[str]]:
    """Check it as the installer would. Raises PolicyNotTaken, PolicyError and OSError."""
    record = state_file.read(places)
    if record.is_other_release(releases.in_force(places.prefix)):
        raise configmap_policy.PolicyNotTaken(next_step.OTHER_RELEASE)
    if not (directory / configmap_policy.MODE).exists():  # a config.toml alone changes no overlay
        policy_directory.add_files(directory, policy_directory.mode_in_force(places))
    compiled, remarks = policy_directory.check(places, directory)
    installed_programs.check_switch(places, compiled.policy["runtime"]["kind"])
    return compiled, [one.replace(f"{directory}/", "") for one in remarks]


def _rows(changes: Iterable[DecisionChange]) -> list[Json]:
    return [_row(change, change.entry.record) for change in changes if change.entry.record]


def _row(change: DecisionChange, record: Record) -> Json:
    names = (record.namespace, record.pod, record.container, record.image)
    keys = ("namespace", "pod", "container", "image")
    return {
        **{key: value and value[:_LONGEST] for key, value in zip(keys, names, strict=True)},
        "id": record.id[:_LONGEST],
        "now": _decision(record),
        "then": change.then and _decision(change.then),
        "refused": _sentence(change.refused) if change.then is None else None,
    }


def _decision(found: Decision | Record) -> Json:
    return {name: getattr(found, name) for name in ("action", "mode", "profile", "reason")}


def _sentence(printed: str) -> str:
    return safe_text.name(" ".join(printed.split()), _LONGEST)
