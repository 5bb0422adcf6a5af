"""What the policy is read from, and whether the policy in force still corresponds to that.

The sources are directories with config.toml, conf.d and profiles. The owner's is PREFIX/etc. In a
cluster PREFIX/var/cluster/policy/current is a second one, and each file in it stands in place of
the owner's file of the same name.

var/policy.2/current/sources.json has {name of a source: digest}, taken before the sources were
read: a file that changes during compilation is reported as changed afterwards.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from runc_wrap.documents.reader import DocumentError, read
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.profiles.json_profiles import profile_files
from runc_wrap.profiles.source_profile import ProfileError

CONFIG, CONFIG_DIRECTORY, PROFILES = "config.toml", "conf.d", "profiles"
SOURCES = "sources.json"
UNRECORDED = "what the policy in force was compiled from is not recorded: it may have changed"
_UNREADABLE = "unreadable"


def settings(*directories: Path) -> dict[str, Path]:
    """Return {name: file} of the settings, in the order in which they are read.

    Raises PolicyError for a link that leads nowhere, and OSError.
    """
    found = {str(path.relative_to(one)): path for one in directories for path in _settings(one)}
    return dict(sorted(found.items(), key=lambda item: (item[0] != CONFIG, item[0])))


def _settings(directory: Path) -> Iterator[Path]:
    if _is_there(directory):
        config = directory / CONFIG
        yield from [config] if config.exists() or config.is_symlink() else []
        yield from (directory / CONFIG_DIRECTORY).glob("*.toml")


def _is_there(directory: Path) -> bool:
    try:
        directory.stat()
    except (FileNotFoundError, NotADirectoryError):
        if directory.is_symlink():  # without what it led to, the default would be enforced
            raise PolicyError(f"{directory} leads nowhere; have the policy sent again") from None
        return False
    return True


def replaced(first: Path, second: Path) -> list[Path]:
    """Return the files of the first directory that the second one's stand in place of."""
    read = {*settings(first, second).values(), *profiles(first, second).values()}
    own = (*settings(first).values(), *profiles(first).values())
    return [path for path in own if path not in read]


def profiles(*directories: Path) -> dict[str, Path]:
    """Return {path below the directory of profiles: file}."""
    places = [one / PROFILES for one in directories]
    return {str(path.relative_to(one)): path for one in places for path in profile_files.found(one)}


def read_profiles(*directories: Path) -> dict[str, bytes]:
    """Return {path below the directory of profiles: content}. Raises ProfileError."""
    read: dict[str, bytes] = {}
    for one in directories:
        read |= profile_files.below(one / PROFILES)
    return read


def snapshot(*directories: Path) -> dict[str, str]:
    """Return the digest of every source: config.toml, conf.d, profiles, the system's file.

    Names are relative to the directories, of which the last that has a name counts; the system's
    file, which engines share, has its full path. Raises PolicyError and OSError.
    """
    return {name: _digest(path) for name, path in _sources(*directories)}


def _sources(*directories: Path) -> Iterator[tuple[str, Path]]:
    yield from settings(*directories).items()
    for name, path in profiles(*directories).items():
        yield f"{PROFILES}/{name}", path
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
    try:
        then = read(dict[str, str], (current / SOURCES).read_bytes())
    except (OSError, DocumentError):
        return [UNRECORDED]
    now = snapshot(*directories)
    return [
        f"{name} has changed" for name in sorted({*then, *now}) if then.get(name) != now.get(name)
    ]
