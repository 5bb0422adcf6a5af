"""What a workload would lose by a further filter: what it was seen to do and may do now."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runc_wrap.evidence.store import evidence_reader
from runc_wrap.evidence.store.call_counts import CallKind
from runc_wrap.evidence.store.evidence_memory import Evidence
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.node.paths import Places
from runc_wrap.profiles import return_codes
from runc_wrap.profiles.abis import ABIS
from runc_wrap.report import profile_simulation
from runc_wrap.report.workload_names import Workload
from runc_wrap.tighten import laid_filter
from tests.unit.evidence.samples import write_ledger
from tests.unit.profiles.resolving import needs_libseccomp

pytestmark = needs_libseccomp
WEB, OTHER = (Workload("team", name, "main", None) for name in ("web", "other"))
KEYCTL, MOUNT = 250, 165


def seen(number: int, code: int) -> CallKind:
    return CallKind(ABIS["x86_64"].audit, number, code, None, "", "")


def test_only_what_the_workload_did_and_was_let_through_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = Places(tmp_path)
    names = {"namespace": "team", "pod": "web-7d9c8b5f6-x2k4p", "container": "main"}
    write_ledger(places.ledger, {"id": "a", "root": "/r", **names})
    calls = [seen(KEYCTL, return_codes.LOG), seen(MOUNT, return_codes.ERRNO | 1)]
    counted = dict.fromkeys(calls, SimpleNamespace(count=1))
    stored = Evidence()
    stored.add_stored(("/r", "a"), SimpleNamespace(calls=counted, dropped=0))  # type: ignore[arg-type]
    monkeypatch.setattr(evidence_reader, "load", lambda _: stored)
    overlay: Any = {"deny": ["keyctl", "mount"], "deny_sockets": [], "existing": True}
    block = laid_filter.of_overlay(overlay).block
    found = profile_simulation.SeenCalls(places)
    assert [one["syscall"] for one in found.lost(WEB, block, Loader("crun"))] == ["keyctl"]
    assert found.lost(OTHER, block, Loader("crun")) == []
