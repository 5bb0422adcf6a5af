"""Whether the policy in force still corresponds to its sources: by content, not by time.

var/policy.2/current/sources.json has {name of a source: digest}, taken before the sources were
read: a file that changes during compilation is reported as changed afterwards.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.documents.reader import DocumentError, read
from runc_wrap.policy.settings import policy_sources
from runc_wrap.profiles.json_profiles import profile_files
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SOURCES = "sources.json"
UNRECORDED = "what the policy in force was compiled from is not recorded: it may have changed"
_UNREADABLE = "unreadable"


def snapshot(*directories: Path) -> dict[str, str]:
    """Return the digest of every source: config.toml, conf.d, profiles, the system's file.

    Names are relative to the directories, of which `settings_reader.read` says what counts;
    the system's file, which engines share, has its full path. Raises PolicyError and OSError.
    """
    return {name: _digest(path) for name, path in _sources(*directories)}


def _sources(*directories: Path) -> Iterator[tuple[str, Path]]:
    yield from policy_sources.settings(*directories).items()
    for name, path in policy_sources.profiles(*directories).items():
        yield f"{policy_sources.PROFILES}/{name}", path
    yield from ((name, Path(name)) for name in profile_files.SYSTEM_FILES if Path(name).exists())


def _digest(path: Path) -> str:
    try:
        data = profile_files.read_bytes(path)
    except ProfileError:
        return _UNREADABLE
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def changes(directories: Iterable[Path], current: Path) -> list[str]:
    """Return one sentence for each source that has changed since the policy was compiled.

    `current` is var/policy.2/current. [] means that the policy in force is up to date. Raises
    PolicyError, and OSError as where only root may look.
    """
    then = _recorded(current)
    if then is None:
        return [UNRECORDED]
    now = snapshot(*directories)
    return [
        f"{name} has changed" for name in sorted({*then, *now}) if then.get(name) != now.get(name)
    ]


def _recorded(current: Path) -> dict[str, str] | None:
    try:
        return read(dict[str, str], (current / SOURCES).read_bytes())
    except (OSError, DocumentError):
        return None
