"""Where runc and crun keep their containers' states, and reading one.

    runc    <root>/<id>/state.json   init_process_pid, init_process_start, config.labels (bundle=)
    crun    <root>/<id>/status       pid, process-start-time, bundle
    both    <root>/<id>/exec.fifo    while the container is created and not started

Start times are clock ticks since boot, as in /proc/PID/stat: the same pid with another start time
is another process. A state is as trustworthy as the users who can write it. It must be a regular
file of its directory's owner, is not read through links, and its size is limited.
"""

import posix
from typing import Any

from runc_wrap.host import files, procfs, root_only_directory
from runc_wrap.hotpath import json_codec, ledger_file

Json = dict[str, Any]
First = tuple[int, int]  # pid and start time

KNOWN_ROOTS = (  # of engines and runtimes, below /
    "run/runc",
    "run/crun",
    "run/containerd/runc/*",  # a directory for each of containerd's namespaces
    "run/docker/runtime-*/*",
)
DEFAULT_ROOTS = ledger_file.DEFAULT_ROOTS  # of runtimes that root starts without --root
USERS_ROOTS = ("runc", "crun", "docker/runtime-*/*", "containerd/runc/*")  # in XDG_RUNTIME_DIR
RUN_DIRECTORIES = "/run/user/"  # of each user by the uid: XDG_RUNTIME_DIR
LARGEST = 16 << 20  # bytes of one state
_FILES = {"runc": "state.json", "crun": "status"}
_FIRST = {"runc": ("init_process_pid", "init_process_start"), "crun": ("pid", "process-start-time")}


def default_roots(directory: str) -> tuple[str, ...]:
    """Return the runtimes' state directories in a run directory, as without --root."""
    return tuple(f"{directory}/{kind}" for kind in _FILES)


def is_runtime(pid: int, name: str = "runc") -> bool:
    """Tell whether a process executes runc, crun or a runtime of this name, or their own copy.

    crun's is the root of a mount of its own.
    """
    path = (procfs.program(pid) or "").removesuffix(" (deleted)")
    parts = path.replace(":", "/").replace("-", "/").split("/")
    is_named = any(one.startswith(("runc", "crun")) for one in parts)
    return is_named or path == "/" or path.rpartition("/")[2] == name


class State:
    """A runtime's record of one container.

    `first` is its first process, which may have ended; `owner` the uid of the directory;
    `is_waiting`: it is created and not started.
    """

    __slots__ = ("bundle", "first", "is_waiting", "kind", "owner")

    def __init__(self, kind: str, fields: Json, owner: int, *, is_waiting: bool) -> None:
        self.kind = kind
        self.first = _first(kind, fields)
        self.bundle = _bundle(kind, fields)
        self.owner = owner
        self.is_waiting = is_waiting


def directory(key: ledger_file.Key) -> str | None:
    """Return the directory of a container's state, None if it does not exist."""
    root, name = key
    if "/" in name or name in ("", ".", ".."):
        return None
    places = [f"{one}/{name}" for one in ([root] if root else DEFAULT_ROOTS)]
    return next((place for place in places if _is_there(f"{place}/.")), None)


def kind(place: str) -> str | None:
    """Return the runtime that keeps a state in this directory, None if none does."""
    return next((kind for kind, name in _FILES.items() if _is_there(f"{place}/{name}")), None)


def read(place: str, largest: int = LARGEST) -> State | None:
    """Return the state in a directory, None if there is none.

    Raises OSError, json_codec.Unreadable, and ValueError for a file that no runtime would write.
    """
    within = posix.open(place, posix.O_PATH | posix.O_DIRECTORY | posix.O_NOFOLLOW)
    try:
        kind = next((one for one, name in _FILES.items() if _is_in(name, within)), None)
        if kind is None:
            return None
        fields = _object(_FILES[kind], within, largest)
        is_waiting = _is_in("exec.fifo", within)
        return State(kind, fields, posix.fstat(within).st_uid, is_waiting=is_waiting)
    finally:
        posix.close(within)


def first_process(key: ledger_file.Key) -> First | None:
    """Return the first process of a container, which may have ended, from a state of root's.

    None if any other user could have written the state.
    """
    place = directory(key)
    if not place or not root_only_directory.is_alone(place):
        return None
    try:
        state = read(place)
    except (OSError, json_codec.Unreadable, ValueError):
        return None
    return state.first if state else None


def running(key: ledger_file.Key) -> int | None:
    """Return the pid of a container's first process, None if that has ended."""
    first = first_process(key)
    there = procfs.born(first[0]) if first else None
    return first[0] if first and there and there[0] == first[1] else None


def _is_there(path: str) -> bool:
    try:
        posix.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return True


def _is_in(name: str, within: int) -> bool:
    """Tell whether a directory has this name. Raises OSError if that cannot be determined."""
    try:
        posix.stat(name, dir_fd=within, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _object(name: str, within: int, largest: int) -> Json:
    descriptor = files.opened(name, within=within)
    try:
        owner, wanted = posix.fstat(descriptor).st_uid, posix.fstat(within).st_uid
        if owner != wanted:
            raise ValueError(f"{name} belongs to uid {owner}, its directory to uid {wanted}")
        text = files.contents(descriptor, largest, name)
    finally:
        posix.close(descriptor)
    found = json_codec.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"{name} is not a JSON object")  # noqa: TRY004 - about a file, not about a call
    return found


def _first(kind: str, fields: Json) -> First | None:
    pid, start = (fields.get(name) for name in _FIRST[kind])
    is_known = isinstance(pid, int) and isinstance(start, int) and pid > 0
    return (pid, start) if is_known else None  # type: ignore[return-value]  # both are numbers


def _bundle(kind: str, fields: Json) -> str | None:
    if kind == "crun":
        bundle = fields.get("bundle")
        return bundle if isinstance(bundle, str) else None
    config = fields.get("config")
    labels = config.get("labels") if isinstance(config, dict) else None
    texts = [text for text in labels or () if isinstance(text, str)]
    marked = (text.removeprefix("bundle=") for text in texts if text.startswith("bundle="))
    return next(marked, None)
