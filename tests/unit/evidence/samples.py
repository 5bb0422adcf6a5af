"""Sightings, ledger lines and profiles for tests of evidence."""

import json
from errno import EPERM
from pathlib import Path
from typing import Any

from runc_wrap.agent.record.disk_thread import remove
from runc_wrap.evidence.sightings import AUDIT, OBSERVE, LossSpan, Sighting
from runc_wrap.evidence.store.evidence_changes import DAYS, MOST_CONTAINERS, EvidenceWriter
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.profiles import builtin
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.report.enforced_profile import Enforced

X86_64, X86 = 0xC000003E, 0x40000003
LOG, NOTIFY, ERRNO, KILL = 0x7FFC0000, 0x7FC00000, 0x50000, 0x80000000
UNSHARE, MOUNT, CLONE, CLONE3, SOCKET, GETPID, PERSONALITY = 272, 165, 56, 435, 41, 39, 135
NEWUSER = 0x10000000
START = 1_795_000_000.0
DEFAULT_CAPS = frozenset({"CAP_CHOWN", "CAP_KILL"})


def sighting(number: int = UNSHARE, **changes: Any) -> Sighting:
    usual = (START + 10, 1, 100, 0, "unshare", "/usr/bin/unshare", X86_64, number, LOG, None, AUDIT)
    return Sighting(*usual)._replace(**changes)


def refused() -> None:
    raise OSError(EPERM, "not for a test")


def serials(found: list[Sighting | LossSpan]) -> list[int]:
    return [item.serial for item in found if isinstance(item, Sighting)]


def observed(number: int, *args: int, **changes: Any) -> Sighting:
    six = (*args, 0, 0, 0, 0, 0, 0)[:6]
    given = {"args": six, "source": OBSERVE, "code": NOTIFY, "serial": 0}
    return sighting(number, **{**given, **changes})


def line(name: str = "c1", **changes: Any) -> dict[str, Any]:
    given = {"time": "2026-11-18T00:00:00Z", "id": name, "root": "/run/test", "action": "inject"}
    named = dict.fromkeys(("namespace", "pod", "container", "image"))
    return {**given, "mode": "audit", "profile": "containerd", **named, **changes}


def write_ledger(directory: Path, *lines: dict[str, Any]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "ledger.jsonl").open("a") as file:
        file.writelines(json.dumps(one) + "\n" for one in lines)
    return directory


def record(**changes: Any) -> ledger_record.Record:
    return ledger_record.of(line(**changes))


def block(name: str = "containerd", caps: frozenset[str] = DEFAULT_CAPS) -> dict[str, Any]:
    return resolve(compile_profile(builtin.load(name), arch="amd64", kernel=(6, 12)), caps)


def enforced(name: str = "containerd", kind: str = "runc") -> Enforced:
    return Enforced(block(name), Loader.of(kind, "1.3.0"))


def clear_old(store: EvidenceWriter, days: float = DAYS, most: int = MOST_CONTAINERS) -> int:
    """Remove what is outdated, as the agent's writer does; return how many files that is."""
    gone = store.outdated(days, most)
    if gone:
        remove(store.cleared(gone), gone)
    return len(gone)
