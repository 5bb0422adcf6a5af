"""Whether the policy in force still corresponds to its sources: by content, not by time.

var/policy.2/current/sources.json has {name of a source: digest}, taken before the sources were
read: a file that changes during compilation is reported as changed afterwards.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.documents.reader import DocumentError, read
from runc_wrap.profiles.json_profiles import profile_files
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = "sources.json"
UNRECORDED = "what the policy in force was compiled from is not recorded: it may have changed"
_UNREADABLE = "unreadable"


def snapshot(etc: Path) -> dict[str, str]:
    """Return the digest of every source: config.toml, conf.d, profiles, the system's file.

    Names are relative to `etc`; the system's file, which engines share, has its full path.
    """
    return {name: _digest(path) for name, path in _sources(etc)}


def _sources(etc: Path) -> Iterator[tuple[str, Path]]:
    config = etc / "config.toml"
    found = [config] if config.exists() or config.is_symlink() else []
    found += sorted((etc / "conf.d").glob("*.toml"))
    found += sorted(path for path in (etc / "profiles").rglob("*") if not path.is_dir())
    yield from ((str(path.relative_to(etc)), path) for path in found if not _is_hidden(path, etc))
    yield from ((name, Path(name)) for name in profile_files.SYSTEM_FILES if Path(name).exists())


def _is_hidden(path: Path, etc: Path) -> bool:
    parts = path.relative_to(etc).parts
    return parts[0] == "profiles" and any(part.startswith(".") for part in parts)


def _digest(path: Path) -> str:
    try:
        data = profile_files.read_bytes(path)
    except ProfileError:
        return _UNREADABLE
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def changes(etc: Path, current: Path) -> list[str]:
    """Return one sentence for each source that has changed since the policy was compiled.

    `current` is var/policy.2/current. [] means that the policy in force is up to date.
    """
    then = _recorded(current)
    if then is None:
        return [UNRECORDED]
    now = snapshot(etc)
    return [
        f"{name} {_verb(then.get(name), now.get(name))}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]


def _verb(then: str | None, now: str | None) -> str:
    if then is None:
        return "is new"
    return "was removed" if now is None else "has changed"


def _recorded(current: Path) -> dict[str, str] | None:
    try:
        return read(dict[str, str], (current / SOURCES).read_bytes())
    except (OSError, DocumentError):
        return None
