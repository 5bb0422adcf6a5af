"""Recorded calls leave room for those that a profile denies."""

from __future__ import annotations

from runc_wrap.evidence.sightings import OBSERVE, RECORDED
from runc_wrap.evidence.store.call_counts import MOST, Tallies
from runc_wrap.profiles.return_codes import USER_NOTIF
from tests.unit.evidence.samples import sighting

MKDIR, SOCKET = 83, 41


def test_recorded_calls_have_no_programs_and_only_arguments_that_profiles_check() -> None:
    seen = Tallies()
    for at in range(MOST):
        one = sighting(MKDIR)._replace(code=USER_NOTIF | RECORDED, source=OBSERVE, comm=f"p{at}")
        seen.add(one._replace(args=(at, at, 0, 0, 0, 0)))
        seen.add(one._replace(number=SOCKET, args=(2, 1, 0, 0, 0, at)))
    found = {
        (call.number, call.args, call.comm, call.exe): one.count for call, one in seen.calls.items()
    }
    assert found == {
        (MKDIR, None, "", ""): MOST,
        (SOCKET, (2, 1, 0, None, None, None), "", ""): MOST,
    }
