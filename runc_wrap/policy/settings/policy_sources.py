"""Which files the policy is read from: directories with config.toml, conf.d and profiles.

The owner's is PREFIX/etc. In a cluster PREFIX/var/cluster/policy/current is a second one, and each
file in it stands in place of the owner's file of the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.policy.policy_errors import PolicyError
from runc_wrap.profiles.json_profiles import profile_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG, CONFIG_DIRECTORY, PROFILES = "config.toml", "conf.d", "profiles"


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
    return [path for path in (*settings(first).values(), *profiles(first).values())
            if path not in read]  # fmt: skip


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
