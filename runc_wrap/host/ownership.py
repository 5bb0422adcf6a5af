"""Whether any user except its owner can change or replace an installation.

    python3 -I -S ownership.py PREFIX [PROGRAM ...]     one sentence a line, exit 1 if there are any

install.sh runs this before it writes anything, so this imports only the standard library.

Root and the caller are trusted: a user may make an installation for personal use. A path is safe if
on the way from / to it, including symbolic links,
  - each directory belongs to a trusted user, and
  - no other user may write in it, by its mode or its access control list; but a sticky directory
    (/tmp) may be writable by all if the path's entry in it belongs to a trusted user: there others
    can neither rename nor remove it.
The end of the path must not be writable by others, sticky or not. A group counts as others (even
root's), except a user's own group without other members. A default access control list counts as
it will apply to new files in the directory.
The kernel's answer is trusted: the server of a network file system can change anything.
"""

import errno
import os
import stat
import struct
import sys
from collections.abc import Iterator

Danger = tuple[str, str]  # a path, and what about it

PARTS = (
    "bin bin/runc-wrap bin/runc-wrapctl etc etc/config.toml hooks lib lib/current lib/releases "
    "lib/current/python lib/current/hotpath lib/current/venv lib/runtime lib/runtime/runc "
    "lib/runtime/crun var var/agent var/engines var/evidence var/ledger var/lock var/metrics"
).split()
POLICIES = "policy."  # var/policy.N: the compiled policy in its Nth form
TREES = ("etc/conf.d", "etc/profiles")  # the owner's files, of which each is checked
_MOST_LINKS = 40  # as many as the kernel follows (path_resolution(7))
_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_ACL_OWNER, _ACL_MASK = 0x01, 0x10  # linux:include/uapi/linux/posix_acl.h
_WRITE = 2


def installation(prefix: str) -> Iterator[Danger]:
    """Yield each path of an installation that others can change, once, and how."""
    paths = [prefix, *(f"{prefix}/{part}" for part in PARTS)]
    # nothing before the first install, or if the caller may not read it
    _, directories, others = next(os.walk(f"{prefix}/var"), ("", [], []))
    for name in sorted(directories + others):
        if name.startswith(POLICIES):
            paths += [f"{prefix}/var/{name}", f"{prefix}/var/{name}/current"]
    for tree in TREES:
        for directory, _, names in os.walk(f"{prefix}/{tree}"):
            paths += [directory, *(f"{directory}/{name}" for name in names)]
    yield from dict.fromkeys(each for path in paths for each in of(path))


def of(path: str) -> Iterator[Danger]:
    """Yield each directory of an absolute path, and its end, that others can change, and how.

    If the path does not exist, its existing part is checked.
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
    """Yield how others could replace an entry; `there` is None if it does not exist yet."""
    found = os.lstat(directory)
    sticky = bool(found.st_mode & stat.S_ISVTX)
    yield from _by_whom(directory, found, may_be_written=sticky)
    if sticky and there is not None and there.st_uid not in _trusted():
        yield entry, f"belongs to uid {there.st_uid}"


def _changeable(path: str) -> Iterator[Danger]:
    found = os.lstat(path)
    yield from _by_whom(path, found, may_be_written=False)
    if stat.S_ISDIR(found.st_mode) and _gives_to_others(path):
        yield path, "has a default access control list that lets others write new files in it"


def _by_whom(path: str, found: os.stat_result, *, may_be_written: bool) -> Iterator[Danger]:
    if found.st_uid not in _trusted():
        yield path, f"belongs to uid {found.st_uid}"
    elif may_be_written:
        return
    elif found.st_mode & stat.S_IWOTH:
        yield path, f"can be written by everybody (mode {_mode(found)})"
    elif found.st_mode & stat.S_IWGRP and _attribute(path, _ACCESS):
        yield path, "can be written by those in its access control list"
    elif found.st_mode & stat.S_IWGRP and not _is_own_group(found):
        yield path, f"can be written by the group {found.st_gid} (mode {_mode(found)})"


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):04o}"


def _trusted() -> tuple[int, int]:
    return 0, os.geteuid()


def _is_own_group(found: os.stat_result) -> bool:
    """Tell whether the group is the caller's, who is not root, and has no other member."""
    if os.geteuid() == 0 or found.st_gid != os.getegid():
        return False
    import grp  # noqa: PLC0415 - grp and pwd may use the network, and root needs neither
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
    """Print the findings; return the exit status."""
    prefix, *programs = words
    found = [*installation(prefix), *(each for program in programs for each in of(program))]
    for path, how in dict.fromkeys(found):
        sys.stdout.write(f"{path.encode('utf-8', 'backslashreplace').decode()} {how}\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
