"""The files of a registration as they were and as they become, and putting them back.

Our own record of the registration is one of them, so that it is put back with the engine's files.
A file that is replaced keeps a second name until the end, above its own directory, where no engine
reads: so it is put back by a rename, on a full disk too, and with all its attributes.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.host import files
from runc_wrap.host.files import replace_link, sync
from runc_wrap.node.engines import engine_files
from runc_wrap.node.engines.handler import DEFAULT_NAME, EngineError
from runc_wrap.node.engines.registration import registration_plan, registration_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runc_wrap.node.engines.registration.registration_plan import Plan

_OURS = 0o600


@dataclass(frozen=True)
class File:
    """An engine's file: its text before and after; None if it does not exist.

    `neutral`: what a reload has to read before the former text, which does not take all back.
    """

    path: str
    before: str | None
    after: str | None
    neutral: str | None = None

    def is_changed(self) -> bool:
        """Tell whether somebody else changed it. Raises EngineError."""
        now = engine_files.read(Path(self.path))
        return now not in (self.before, self.after) and (now is None or now != self.neutral)


@dataclass
class Snapshot:
    """What a plan changes. `record` is our record's text before.

    `dirs` are the directories that it makes, `dirs_gone` those that are removed at its end.
    """

    id: str = ""

    files: list[File] = field(default_factory=list)
    record_path: str = ""
    record: str | None = None
    dirs: list[str] = field(default_factory=list)
    dirs_gone: list[str] = field(default_factory=list)
    link_new: str | None = None
    link_gone: str | None = None

    def former(self, place: int) -> Path:
        """Return the second name of a file that is replaced."""
        path = Path(self.files[place].path)
        return path.parent.parent / f".runc-wrap-{self.id}-{place}"

    @property
    def former_record(self) -> Path:
        """The second name of our record, in its own directory's parent as well."""
        return Path(self.record_path).parent.parent / f".runc-wrap-{self.id}-record"

    def as_json(self) -> dict[str, Any]:
        """Return it for the journal."""
        return asdict(self)


def of(plan: Plan, name: str) -> Snapshot:
    """Return what a plan will change, before it is carried out; `name` is the transaction's."""
    before, after = plan.before["dirs"], plan.after["dirs"]
    return Snapshot(
        id=name,
        files=[
            File(str(each.path), each.before, each.after, registration_plan.neutral(plan, each))
            for each in plan.changes
        ],
        record_path=str(plan.where.state_file),
        record=engine_files.read(plan.where.state_file),
        dirs=[path for path in after if path not in before],
        dirs_gone=[] if registration_state.names(plan.after) else list(before),
        link_new=str(plan.link_new) if plan.link_new else None,
        link_gone=str(plan.link_gone) if plan.link_gone else None,
    )


def unknown_keys(found: dict[str, Any]) -> set[str]:
    """Return the keys of a snapshot in a journal that only another release knows."""
    of_files = {key for each in found.get("files", []) for key in each}
    return (found.keys() - _names(Snapshot)) | (of_files - _names(File))


def _names(of: type[Snapshot | File]) -> set[str]:
    return {each.name for each in fields(of)}


def from_json(found: dict[str, Any]) -> Snapshot:
    """Return the snapshot in a journal. Raises TypeError and KeyError."""
    return Snapshot(**{**found, "files": [File(**each) for each in found["files"]]})


def digests(paths: Iterable[str]) -> dict[str, str]:
    """Return {path: digest of its bytes}, without those that cannot be read."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # irregular, too large
            data = files.read(path, engine_files.MAX_BYTES, follows=True)
            found[path] = hashlib.sha256(data).hexdigest()
    return found


def without_texts(snapshot: Snapshot) -> Snapshot:
    """Return only what `drop_former` needs for the second names."""
    files = [File(one.path, None, None) for one in snapshot.files]
    return Snapshot(id=snapshot.id, files=files, record_path=snapshot.record_path)


def changed_by_others(snapshot: Snapshot) -> list[str]:
    """Return the files that are neither as they were nor as we made them. Raises EngineError."""
    return [one.path for one in snapshot.files if one.is_changed()]


def _refuse_others(snapshot: Snapshot) -> None:
    if others := changed_by_others(snapshot):
        raise EngineError(
            f"{' and '.join(others)} changed since, and not by runc-wrapctl",
            "the files as the transaction wrote them",
            "put them as you want them, then `runc-wrapctl engine confirm`",
        )


def write_neutral(snapshot: Snapshot) -> str | None:
    """Write the text that a reload has to read first, and return it; None if there is none.

    Raises EngineError if somebody else changed a file meanwhile, and OSError.
    """
    _refuse_others(snapshot)
    for one in snapshot.files:
        if one.neutral is not None:
            Path(one.path).parent.mkdir(parents=True, exist_ok=True)
            engine_files.write(Path(one.path), one.neutral)
            return one.neutral
    return None


def keep_former(snapshot: Snapshot) -> None:
    """Give each file that is replaced its second name; a file system without links has none."""
    for place, one in enumerate(snapshot.files):
        if one.before is not None:
            with contextlib.suppress(OSError):
                os.link(one.path, snapshot.former(place), follow_symlinks=False)
    if snapshot.record is not None:
        with contextlib.suppress(OSError):
            os.link(snapshot.record_path, snapshot.former_record, follow_symlinks=False)


def drop_former(snapshot: Snapshot) -> None:
    """Remove the second names, and the directories that became empty."""
    for place in range(len(snapshot.files)):
        snapshot.former(place).unlink(missing_ok=True)
    if snapshot.record_path:
        snapshot.former_record.unlink(missing_ok=True)
    _drop(snapshot.dirs_gone)


def put_back(snapshot: Snapshot) -> None:
    """Restore every byte, and sync; may be repeated after an interruption. Raises OSError.

    Raises EngineError, before it changes anything, if somebody else changed a file meanwhile.
    """
    _refuse_others(snapshot)
    if snapshot.link_gone:
        replace_link(Path(snapshot.link_gone), DEFAULT_NAME)
    for place, one in enumerate(snapshot.files):
        if not _renamed(snapshot.former(place), one):
            _put(Path(one.path), one.before)
    record = File(snapshot.record_path, snapshot.record, None)
    if not _renamed(snapshot.former_record, record):
        _put(Path(snapshot.record_path), snapshot.record, _OURS)
    _unlink(snapshot.link_new)
    for path in (*(one.path for one in snapshot.files), snapshot.record_path):
        _drop_unwritten(Path(path))
    drop_former(replace(snapshot, dirs_gone=snapshot.dirs))


def _renamed(former: Path, one: File) -> bool:
    """Put a file back by its second name, if it still has the text that it had."""
    path = Path(one.path)
    if one.before is None or engine_files.read(former) != one.before:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    former.rename(path)
    sync(path.parent)
    return True


def _drop_unwritten(path: Path) -> None:
    """Remove what a killed writer left beside a file: an engine may read any name there."""
    for new in path.parent.glob(f".{glob.escape(path.name)}.*.new"):
        new.unlink(missing_ok=True)


def _drop(directories: list[str]) -> None:
    for directory in reversed(directories):
        with contextlib.suppress(OSError):  # not empty, or removed by others
            Path(directory).rmdir()


def _unlink(link: str | None) -> None:
    if link and Path(link).is_symlink() and str(Path(link).readlink()) == DEFAULT_NAME:
        Path(link).unlink()


def _put(path: Path, text: str | None, mode: int = 0o644) -> None:
    if engine_files.read(path) == text:
        return
    if text is None:
        path.unlink()
        sync(path.parent)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    engine_files.write(path, text, mode)
