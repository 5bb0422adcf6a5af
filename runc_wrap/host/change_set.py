"""Several files and links changed as one: all become new, or all are as before, at any kill.

    begin   writes a record aside, new contents and second names of the old ones, and syncs them;
            the record's rename is the commit; then each new content is renamed into place
    restore puts everything back; a file that somebody else changed meanwhile is left, and named
    close   it is over, new or restored: the record is moved aside, and what it names is dropped
    undo    restore, then close

Whoever finds a record undoes it; what a kill leaves before the commit or after the end, the next
`begin` or `undo` drops. Contents wait above a file's own directory: engines read any name in it.
"""

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from runc_wrap.documents import reader as documents
from runc_wrap.failure import Failure
from runc_wrap.host import files

Content = bytes | str | None  # a file's bytes, a link's target, nothing


_MOST = 4 << 20  # bytes of a file, and of a record


@dataclass(frozen=True)
class PathChange:
    """One path before and after.

    A file that is replaced keeps mode, owner and attributes, unless it `is_ours`.
    """

    path: Path
    before: Content
    after: Content
    mode: int = 0o644
    is_ours: bool = False


@dataclass(frozen=True)
class _Change:
    """One path of a record: what it was and becomes, in a word, and the names that wait."""

    path: str
    before: str
    after: str
    new: str
    old: str

    def known(self, ours: Mapping[Path, bytes]) -> tuple[str, ...]:
        """Return the words of what it was and becomes, and of what the caller itself wrote."""
        more = ours.get(Path(self.path))
        return self.before, self.after, *([] if more is None else [_word(more)])


@dataclass(frozen=True)
class ChangeRecord:
    """A change that is not over; `note` is its owner's."""

    note: dict[str, Any]
    entries: list[_Change]
    directories: list[str] = field(default_factory=list)

    def changed_by_others(self, ours: Mapping[Path, bytes] | None = None) -> list[str]:
        """Return the paths that are neither as they were nor as they became. Raises OSError.

        `ours` are other contents that the caller itself wrote.
        """
        return [one.path for one in self.entries if _look(one.path) not in one.known(ours or {})]

    def former(self, path: Path) -> bytes | None:
        """Return a file's bytes before; None if there was none, or if it is not in the change."""
        for one in self.entries:
            if one.path == str(path) and one.before:
                with contextlib.suppress(FileNotFoundError):
                    return files.read(Path(one.old), _MOST)
                return files.read(path, _MOST)  # it is back already
        return None


def begin(
    record: Path,
    changes: Iterable[PathChange],
    note: dict[str, Any] | None = None,
    *,
    empties: Iterable[str] = (),
    check: Callable[[Mapping[Path, Path]], None] | None = None,
) -> None:
    """Change all, or nothing. Raises OSError, ChangedMeanwhile, and what `check` raises.

    `empties` are directories that are removed at the end if they are empty. `check` gets {path:
    where its new content waits} before anything is put in place. `read(record)` must be None.
    """
    changes = list(changes)
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _drop(record)
    found = _planned(changes, note or {}, empties)
    if changed := [one.path for one in found.entries if _look(one.path) != one.before]:
        raise ChangedMeanwhile(changed)
    try:
        files.write_new(_aside(record), json.dumps(asdict(found)).encode(), 0o600)
        files.sync(record.parent)
        for one, entry in zip(changes, found.entries, strict=True):
            _prepare(one, entry)
        _sync(name for one in found.entries for name in (one.new, one.old) if name)
        if check:
            check({Path(one.path): Path(one.new) for one in found.entries if one.new})
        _aside(record).rename(record)
        files.sync(record.parent)
        _put(found)
    except BaseException:
        undo(record) if record.exists() else _drop(record)
        raise


def read(record: Path) -> ChangeRecord | None:
    """Return a change that is not over, None without one. Raises OSError and DamagedRecord."""
    try:
        return documents.read(ChangeRecord, files.read(record, _MOST))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DamagedRecord(record, error) from None


def is_left(record: Path) -> bool:
    """Tell whether `undo` has anything to do: a change, or names that a kill left."""
    return record.exists() or _aside(record).exists()


def close(record: Path) -> None:
    """Let everything stay as it is now. Raises OSError; it is not over then, and can be undone."""
    record.rename(_aside(record))
    with contextlib.suppress(OSError):  # a record that a power cut brings back is undone
        files.sync(record.parent)
        _drop(record)  # else the next `begin` does it


def undo(record: Path) -> list[str]:
    """Restore what was there before, and close; return what is left as somebody else changed it.

    May be interrupted and done again. Raises OSError and DamagedRecord.
    """
    found = read(record)
    if found is None:
        _drop(record)
        return []
    left = restore(found)
    close(record)
    return left


def restore(found: ChangeRecord, ours: Mapping[Path, bytes] | None = None) -> list[str]:
    """Restore what was there before; return the paths that somebody else changed meanwhile.

    `ours` are other contents that the caller itself wrote. May be interrupted and done again.
    Raises OSError.
    """
    left = []
    for one in reversed(found.entries):
        if not _restored(one, ours or {}):
            left.append(one.path)
        _sync([one.path])
    return left


def content(path: Path) -> Content:
    """Return what a path is now, for `before`. Raises OSError and ValueError."""
    if path.is_symlink():
        return str(path.readlink())
    try:
        return files.read(path, _MOST)
    except FileNotFoundError:
        return None
    except files.Irregular:
        raise FileExistsError(errno.EEXIST, "no file or link is there", str(path)) from None


class ChangedMeanwhile(Failure):
    """Somebody else changed these files; the message names them."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__(f"{' and '.join(paths)} changed meanwhile: run this again")


class DamagedRecord(Failure):
    """A record of a change cannot be read; the message names it."""

    def __init__(self, record: Path, why: Exception) -> None:
        super().__init__(
            f"{record} is no record of a change: {why}; try: check its files, then remove it"
        )


def _aside(record: Path) -> Path:
    return record.with_name(f".{record.name}.aside")


def _planned(
    changes: list[PathChange], note: dict[str, Any], empties: Iterable[str]
) -> ChangeRecord:
    name = f".runc-wrap-{secrets.token_hex(6)}"
    made = [
        str(each)
        for one in changes
        if one.after is not None
        for each in reversed(one.path.parents)
        if not each.exists()
    ]
    entries = []
    for place, one in enumerate(changes):
        waits = f"{_waiting_place(one.path)}/{name}-{place}"
        new = "" if one.after is None else f"{waits}.new"
        old = "" if one.before is None else f"{waits}.old"
        entries.append(_Change(str(one.path), _word(one.before), _word(one.after), new, old))
    return ChangeRecord(note, entries, list(dict.fromkeys([*empties, *made])))


def _waiting_place(path: Path) -> Path:
    """Return a directory from which a rename to this path is possible, and which nobody reads."""
    near = next(each for each in path.parents if each.exists())
    above = near if near != path.parent else near.parent
    return above if _mount(above) == _mount(near) else near


def _mount(directory: Path) -> bytes:
    """Return the mount that a directory is on: no rename leads from one to another."""
    descriptor = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        shown = files.read(Path(f"/proc/self/fdinfo/{descriptor}"), _MOST)
    finally:
        os.close(descriptor)
    return shown.partition(b"mnt_id:")[2].split()[0]


def _prepare(change: PathChange, entry: _Change) -> None:
    if isinstance(change.after, str):
        Path(entry.new).symlink_to(change.after)
    elif change.after is not None:
        like = "" if change.is_ours else entry.path
        files.write_new(entry.new, change.after, change.mode, like=like)
    if isinstance(change.before, str):
        Path(entry.old).symlink_to(change.before)
    elif change.before is not None:
        try:
            os.link(entry.path, entry.old, follow_symlinks=False)
        except OSError:  # a file system without hard links
            files.write_new(entry.old, change.before, change.mode, like=entry.path)


def _put(found: ChangeRecord) -> None:
    """Put the new contents in place, in order also for a power cut: each name is synced."""
    for one in found.entries:
        if _look(one.path) != one.before:
            raise ChangedMeanwhile([one.path])
        if one.new:
            Path(one.path).parent.mkdir(parents=True, exist_ok=True)
            Path(one.new).rename(one.path)
        else:
            Path(one.path).unlink()
        files.sync(Path(one.path).parent)
    _sync(each for each in found.directories if Path(each).exists())


def _restored(one: _Change, ours: Mapping[Path, bytes]) -> bool:
    """Restore one path; tell whether it is as before."""
    now, path = _look(one.path), Path(one.path)
    if now == one.before:
        return True
    if now not in one.known(ours):
        return False
    if not one.old:
        path.unlink()
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _rename_back(Path(one.old), path)
    except FileNotFoundError:  # somebody removed what was kept of it
        return False
    return True


def _rename_back(old: Path, path: Path) -> None:
    """Put a second name in place; it stays: a power cut may part a rename between directories."""
    back = _back(path)
    back.unlink(missing_ok=True)
    try:
        os.link(old, back, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:  # no hard links, or a full disk
        old.rename(path)
    else:
        back.rename(path)


def _back(path: Path) -> Path:
    return path.with_name(f".{path.name}.runc-wrap.back")


def _drop(record: Path) -> None:
    """Remove what a record that is aside names, and then itself."""
    aside = _aside(record)
    try:
        found = read(aside)
    except DamagedRecord:  # not as it was written: nothing of it is believed
        found = ChangeRecord({}, [])
    if found is None:
        return
    names = [name for one in found.entries for name in (one.new, one.old) if name]
    for path in (*map(Path, names), *(_back(Path(one.path)) for one in found.entries)):
        if os.path.lexists(path):  # unlink of what is not there fails, too, if read-only
            path.unlink()
    for directory in reversed(found.directories):
        with contextlib.suppress(OSError):  # not empty, or never made
            Path(directory).rmdir()
    _sync(names)
    aside.unlink()


def _sync(paths: Iterable[str]) -> None:
    """Sync the directories of these paths, as far as they exist."""
    for directory in dict.fromkeys(Path(path).parent for path in paths):
        with contextlib.suppress(FileNotFoundError):
            files.sync(directory)


def _word(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return f"link {content}"
    return f"file {hashlib.sha256(content).hexdigest()}"


def _look(path: str) -> str:
    """Return what a path is now, as `_word` says it. Raises OSError."""
    try:
        return _word(content(Path(path)))
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (ValueError, FileExistsError):
        return "no regular file, or a larger one"
