"""Whether anybody but its owner can change an installation, or put another in its place.

    python3 -I -S ownership.py PREFIX [PROGRAM ...]     one sentence a line, exit 1 if there are any

install.sh asks by that before it writes anything, so this imports the standard library only.

Trusted are root and who asks: a user may install for himself. A path is safe if on the way from /
to it, through symbolic links as well,
  - each directory belongs to somebody trusted, and
  - nobody else may write in it, by its mode or its access control list; but a sticky directory
    (/tmp) may be written by all if what the path goes through in it is somebody trusted's: there
    others can neither rename nor remove it.
What the path ends at may be written by nobody else, sticky or not. A group counts as somebody else
(root's own as well), apart from a user's own group that has no other member. A default access
control list counts as it will for what is made in the directory.
The kernel's answer is believed: who serves a network file system can change what it likes.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Danger = tuple[str, str]  # a path, and what about it

PARTS = (
    "bin bin/runc-wrap bin/runc-wrapctl etc etc/config.toml hooks lib lib/current lib/releases "
    "lib/current/python lib/current/hotpath lib/current/venv lib/runtime lib/runtime/runc "
    "lib/runtime/crun var var/agent var/engines var/evidence var/ledger var/lock var/metrics"
).split()
POLICIES = "policy."  # var/policy.N: the compiled policy in its Nth form
TREES = ("etc/conf.d", "etc/profiles")  # what the owner writes, file by file
_MOST_LINKS = 40  # as the kernel follows (path_resolution(7))
_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_ACL_OWNER, _ACL_MASK = 0x01, 0x10  # linux:include/uapi/linux/posix_acl.h
_WRITE = 2


def installation(prefix: str) -> Iterator[Danger]:
    """Yield each thing of an installation that others can change, once, and how."""
    paths = [prefix, *(f"{prefix}/{part}" for part in PARTS), *_policies(f"{prefix}/var")]
    for tree in TREES:
        for directory, _, names in os.walk(f"{prefix}/{tree}"):
            paths += [directory, *(f"{directory}/{name}" for name in names)]
    yield from dict.fromkeys(each for path in paths for each in of(path))


def _policies(directory: str) -> Iterator[str]:
    """Yield the compiled policies' directories, and the links in them to what is in force."""
    try:
        names = os.listdir(directory)  # noqa: PTH208 - no pathlib: see the docstring
    except OSError:  # before the first install, or not root's question
        return
    for name in sorted(names):
        if name.startswith(POLICIES):
            yield from (f"{directory}/{name}", f"{directory}/{name}/current")


def of(path: str) -> Iterator[Danger]:
    """Yield each thing on the way to a path, and at its end, that others can change, and how.

    The path is absolute. Where it does not exist, what there is of the way to it is looked at.
    """
    here, links = "/", 0
    rest = _names(path)
    while rest:
        name = rest.pop()
        if name == "..":
            here = os.path.dirname(here)  # noqa: PTH120 - no pathlib: see the docstring
            continue
        entry = os.path.join(here, name)  # noqa: PTH118
        found = _look(entry)
        yield from _replaceable(here, entry, found)
        if found is None:
            return
        if not stat.S_ISLNK(found.st_mode):
            here = entry
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(entry)  # noqa: PTH115
        here = "/" if target.startswith("/") else here
        rest += _names(target)
    yield from _changeable(here)


def _names(path: str) -> list[str]:
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _look(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _replaceable(directory: str, entry: str, there: os.stat_result | None) -> Iterator[Danger]:
    """Tell who could put something else in an entry's place; None: it is still to be made."""
    found = os.lstat(directory)
    sticky = bool(found.st_mode & stat.S_ISVTX)
    yield from _by_whom(directory, found, may_be_written=sticky)
    if sticky and there is not None and there.st_uid not in _trusted():
        yield entry, f"belongs to uid {there.st_uid}"


def _changeable(path: str) -> Iterator[Danger]:
    found = os.lstat(path)
    yield from _by_whom(path, found, may_be_written=False)
    if stat.S_ISDIR(found.st_mode) and _gives_to_others(path):
        yield path, "has a default access control list by which others may write what is made there"


def _by_whom(path: str, found: os.stat_result, *, may_be_written: bool) -> Iterator[Danger]:
    if found.st_uid not in _trusted():
        yield path, f"belongs to uid {found.st_uid}"
    elif may_be_written:
        return
    elif found.st_mode & stat.S_IWOTH:
        yield path, f"can be written by everybody (mode {_mode(found)})"
    elif found.st_mode & stat.S_IWGRP and _attribute(path, _ACCESS):
        yield path, "can be written by those whom its access control list names"
    elif found.st_mode & stat.S_IWGRP and not _is_own_group(found):
        yield path, f"can be written by the group {found.st_gid} (mode {_mode(found)})"


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"


def _trusted() -> tuple[int, int]:
    return 0, os.geteuid()


def _is_own_group(found: os.stat_result) -> bool:
    """Tell whether it is the group of a user who is no root, and of nobody else."""
    if os.geteuid() == 0 or found.st_gid != os.getegid():
        return False
    import grp  # noqa: PLC0415 - they may ask the network, and root needs neither
    import pwd  # noqa: PLC0415

    try:
        name, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    return group.gr_name == name and set(group.gr_mem) <= {name}


def _attribute(path: str, name: str) -> bytes:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return b""


def _gives_to_others(directory: str) -> bool:
    """Tell whether a default ACL lets others than the owner write (posix_acl_xattr_entry)."""
    entries = struct.iter_unpack("<HHI", _attribute(directory, _DEFAULT)[4:])
    owners = (_ACL_OWNER, _ACL_MASK)
    return any(tag not in owners and allowed & _WRITE for tag, allowed, _ in entries)


def main(words: list[str]) -> int:
    """Print what is found; return the exit status."""
    prefix, *programs = words
    told = [*installation(prefix), *(each for program in programs for each in of(program))]
    for path, how in dict.fromkeys(told):
        sys.stdout.write(f"{path.encode('utf-8', 'backslashreplace').decode()} {how}\n")
    return int(bool(told))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
