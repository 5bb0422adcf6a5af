"""The agent's evidence on disk: one file for each container, and one for unattributed calls.

    DIR/containers/DIGEST.json    {version, root, id, ended, dropped, calls, runtimes}, named by the
                                  digest of root NUL id; `runtimes` are the runtime's own calls
    DIR/unattributed.json         the same, of calls whose container is unknown
                                  (evidence.store.evidence_memory.Strays)
    DIR/state.json                {version, lost, watched, covered, cleared_until}

`lost` are [source, why, records, begin, end], several for each source and why. `watched` are the
intervals in which each source was watched. `covered` are audit records that were counted: [first
serial, last serial, first time, last time]; serials begin anew at each boot, times tell boots
apart. Files of deleted containers last written until `cleared_until` were removed. Files are
replaced whole, state.json last: if another is newer, a write is in progress. A damaged file is
counted and skipped, its container gets no verdict, and the writer puts it aside as FILE.damaged.
Writing them: evidence.store.evidence_changes.
"""

import os
import time
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from runc_wrap.evidence.sightings import LossSpan
from runc_wrap.evidence.store.call_counts import Tallies
from runc_wrap.evidence.store.evidence_memory import ASIDE, UNATTRIBUTED, Evidence, Strays
from runc_wrap.hotpath import config_file, json_codec
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.ledger_file import Key

Json = dict[str, Any]

VERSION = 1
_MOMENT, _PAUSE = 0.5, 0.01  # seconds for a write in progress to be complete, between checks
STATE = "state.json"
UNREADABLE = (Refusal, json_codec.Unreadable, ValueError, TypeError, KeyError, AttributeError)


def load(directory: str | os.PathLike[str]) -> Evidence:
    """Read all evidence, none if there are no files. Raises PermissionError.

    If a write is in progress, read again for a moment: containers' files must match the state.
    """
    where = os.fspath(directory)
    until = time.monotonic() + _MOMENT
    while True:
        before = _written(where)
        found = _read(where)
        after = _written(where)
        newest = max((when for when, _ in ages(f"{where}/containers")), default=0.0)
        is_whole = before == after and (newest <= after[1] or not after[1])  # it is written last
        if is_whole or time.monotonic() > until:
            return found
        time.sleep(_PAUSE)


def _written(where: str) -> tuple[int, float]:
    """Return the inode and time of state.json; zeros if there is none."""
    try:
        found = os.stat(f"{where}/{STATE}", follow_symlinks=False)  # noqa: PTH116 - no pathlib
    except (FileNotFoundError, NotADirectoryError):
        return 0, 0.0
    return found.st_ino, found.st_mtime


def _read(where: str) -> Evidence:
    found = state(where)
    found.covered.sort(key=itemgetter(2))  # `Evidence.has` searches by begin
    for _, path in ages(f"{where}/containers"):
        if read := container(path):
            found.add_stored(*read)
        elif os.path.lexists(path):  # else it was cleared meanwhile
            found.add_damaged(path.removeprefix(f"{where}/"))
    unattributed = f"{where}/{UNATTRIBUTED}"
    if os.path.lexists(unattributed):
        try:
            found.unattributed = Strays.of_json(object_of(unattributed))
        except UNREADABLE:
            found.add_damaged(UNATTRIBUTED)
    for place in (f"{where}/containers", where):
        for _, path in ages(place, f".json{ASIDE}"):
            found.add_damaged(path.removeprefix(f"{where}/"))
    return found


def container(path: str) -> tuple[Key, Tallies] | None:
    """Read one container's file, None if it is damaged or missing."""
    try:
        fields = object_of(path)
        return (fields["root"] + "", fields["id"] + ""), Tallies.of_json(fields)
    except UNREADABLE:
        return None


def state(directory: str) -> Evidence:
    """Read state.json; a damaged one is noted."""
    found = Evidence()
    path = f"{directory}/{STATE}"
    if not os.path.lexists(path):
        return found
    try:
        fields = object_of(path)
        for source, why, records, begin, end in fields["lost"]:
            lost = LossSpan(float(end), int(records), str(source), str(why), float(begin))
            found.add_lost(lost)
        for source, intervals in fields["watched"].items():
            found.watched[str(source)] = [(float(b), float(e)) for b, e in intervals]
        found.covered = [(int(a), int(z), float(b), float(e)) for a, z, b, e in fields["covered"]]
        found.cleared_until = float(fields["cleared_until"])
    except UNREADABLE:
        found = Evidence()
        found.add_damaged(STATE)
    return found


def object_of(path: str) -> Json:
    """Return a file's JSON object; raise one of UNREADABLE if it is none of this version."""
    found = json_codec.loads(config_file.read(path).text)
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ValueError("it is not of this version")
    return found


def ages(directory: str, suffix: str = ".json") -> Iterator[tuple[float, str]]:
    """Yield when each file of a directory was last written, and its path."""
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name.endswith(suffix) and entry.is_file(follow_symlinks=False):
            try:
                yield entry.stat(follow_symlinks=False).st_mtime, entry.path
            except FileNotFoundError:  # cleared meanwhile
                continue
