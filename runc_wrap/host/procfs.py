"""Reading /proc/PID: proc_pid_stat(5), proc_pid_status(5), cgroups(7), namespaces(7).

`pid` is a process' or a thread's number, "self", or what `threads` returns. Reads are bounded in
size. Reading status or stat of a process may never return (agent.observe.inspector says
why). Imports built-in modules only, since each of the agent's processes imports this.
"""

import posix
import time

from runc_wrap.host import files

LARGEST = 2 << 20  # bytes; 65,536 groups fill some 720 KiB of /proc/PID/status
_AT_ONCE, _MOST_LOOKS = 0.0005, 20  # seconds between two readings of a clock; attempts
_PARENT, _FLAGS, _THREADS, _START = 4, 9, 20, 22  # fields of stat, counted from 1
_AFTER_NAME = 3  # the first field behind the name, which may hold spaces and brackets
# linux/sched.h: PF_KTHREAD; PF_USER_WORKER and PF_IO_WORKER, which say something else before 6.4
# and 5.12
_KERNELS, _WORKERS = 0x200000, 0x4010
_WORKERS_NAMES = (b"iou-", b"vhost-", b"kvm-nx-")
_ENDED = (b"Z", b"X")  # it runs nothing any more, but its parent has not waited for it yet
_CGROUP_FIELDS = 3
_TRIES = 10
MOST_ANCESTORS = 64
INITIAL = {"pid": 0xEFFFFFFC, "user": 0xEFFFFFFD}  # linux:include/linux/proc_ns.h


def boot_id() -> str:
    """Return the identity of this boot. Raises OSError."""
    return files.read("/proc/sys/kernel/random/boot_id", 64).decode().strip()


def read(path: str, largest: int = LARGEST) -> bytes | None:
    """Return a file of /proc, None if it cannot be read or is larger than `largest` bytes."""
    try:
        return contents(path, largest)
    except (OSError, files.TooLarge):
        return None


def contents(path: str, largest: int = LARGEST) -> bytes:
    """Return a file of /proc. Raises OSError and files.TooLarge."""
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return files.contents(descriptor, largest, path)
    finally:
        posix.close(descriptor)


def pids() -> list[int]:
    """Return the pids of all processes."""
    return [int(name) for name in posix.listdir("/proc") if name.isdecimal()]


def threads(pid: int | str) -> list[str]:
    """Return a process' threads; [] if it has ended."""
    try:
        return [f"{pid}/task/{name}" for name in posix.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _stat(pid: int | str) -> list[bytes]:
    """Return the fields of stat after the name; [] if the process has ended."""
    text = read(f"/proc/{pid}/stat") or b""
    return text.rpartition(b")")[2].split()


def born(pid: int) -> tuple[int, int] | None:
    """Return a process' start time (clock ticks since boot) and parent; None if it has ended.

    The same pid with another start time is another process.
    """
    fields = _stat(pid)
    if not fields:
        return None
    return int(fields[_START - _AFTER_NAME]), int(fields[_PARENT - _AFTER_NAME])


def last_pid() -> int:
    """Return the pid that was the last to be given to a process or thread, 0 if that is unknown.

    It is in proc_loadavg(5). The kernel gives them in turn, and begins again after the highest
    (kernel/pid.c, alloc_pid).
    """
    return int((read("/proc/loadavg", 256) or b"0").split()[-1])


def ancestors(pid: int) -> list[int]:
    """Return a process' parent, that one's parent and so on, as far as they run; never pid 1."""
    found: list[int] = []
    while len(found) < MOST_ANCESTORS and (there := born(pid)) and there[1] > 1:
        pid = there[1]
        found.append(pid)
    return found


def started(pid: int | str) -> int | None:
    """Return the start time of a process that runs, None if it has ended or is a zombie.

    A process whose first thread has ended continues to run as long as it has another, which takes
    the first one's number when it executes a program: so where it had several, it is asked again.
    It runs also if they make others and end, so that no list shows them.
    """
    fields = _stat(pid)
    for _ in range(_TRIES):
        if not fields or not has_ended(fields[0]):
            break
        listed = threads(pid)
        if any(map(goes_on, listed)):
            break
        fields = _stat(pid)  # afterwards: each may have made another, and ended
        is_all = fields and int(fields[_THREADS - _AFTER_NAME]) == len(listed)
        if is_all and listed == threads(pid):
            return None
    return int(fields[_START - _AFTER_NAME]) if fields else None


def ticks() -> int:
    """Return the clock ticks since boot, as start times are given."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * posix.sysconf("SC_CLK_TCK"))


def age(pid: int) -> float | None:
    """Return the seconds since the start of a process that runs, None as `started` does.

    By the clock that nobody sets, and exact to a tick. /proc/stat's btime has whole seconds: what
    is reckoned from that, as psutil does, begins up to a second too early.
    """
    ticks = started(pid)
    if ticks is None:
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / posix.sysconf("SC_CLK_TCK")


def epoch(ticks: int) -> float:
    """Return a start time of /proc, in clock ticks since boot, as seconds since the epoch."""
    return began(time.CLOCK_BOOTTIME) + ticks / posix.sysconf("SC_CLK_TCK")


def began(clock: int) -> float:
    """Return when a clock began, as seconds since the epoch, from readings without a pause."""
    for _ in range(_MOST_LOOKS):
        before, now, after = time.clock_gettime(clock), time.time(), time.clock_gettime(clock)
        if after - before < _AT_ONCE:
            break
    return now - (before + after) / 2


def has_ended(state: bytes) -> bool:
    """Tell whether a state, in stat or status, means that the thread has ended."""
    return state[:1] in _ENDED


def goes_on(thread: str) -> bool:
    """Tell whether a thread, as `threads` returns it, has not ended."""
    fields = _stat(thread)
    return bool(fields) and not has_ended(fields[0])


def living(pid: int) -> dict[int, dict[bytes, bytes]]:
    """Return the status of each thread that has not ended, by its id; {} only if all have.

    Without the kernel's, such as io_uring's, vhost's and KVM's workers: they make no system calls,
    and may never stop for a tracer.
    """
    found: dict[int, dict[bytes, bytes]] = {}
    for _ in range(_TRIES):
        for thread in threads(pid):
            try:
                fields = status(thread)
            except OSError:  # it has ended
                continue
            if not (has_ended(fields[b"State"]) or _is_kernels(thread)):
                fields.pop(b"Groups", None)  # 720 KB of each thread, if it likes
                found[int(thread.rpartition("/")[2])] = fields
        if found or started(pid) is None:  # else an exec gave a thread another number
            break
    return found


def _is_kernels(thread: str) -> bool:
    """Tell whether a thread never leaves the kernel: by its flags, and a name any may have."""
    text = read(f"/proc/{thread}/stat") or b""
    name, _, fields = text.partition(b"(")[2].rpartition(b")")
    flags = int((fields.split() or [b"0"] * _FLAGS)[_FLAGS - _AFTER_NAME])
    return bool(flags & _KERNELS or (flags & _WORKERS and name.startswith(_WORKERS_NAMES)))


def is_runnable(pid: int) -> bool:
    """Tell whether a process runs or waits for a CPU: it neither sleeps nor is stopped."""
    return _stat(pid)[:1] == [b"R"]


def status(pid: int | str) -> dict[bytes, bytes]:
    r"""Return status as {name: value}. Raises OSError and files.TooLarge.

    Values are unchanged; in Name, \ and newline are escaped (`plain_name`).
    """
    lines = contents(f"/proc/{pid}/status").split(b"\n")
    return dict(line.partition(b":\t")[::2] for line in lines)


def plain_name(name: bytes) -> str:
    r"""Return an unescaped Name of status: the kernel escapes \ and newline (fs/proc/array.c)."""
    parts = name.decode("utf-8", "surrogateescape").split("\\\\")
    return "\\".join(part.replace("\\n", "\n") for part in parts)


def cgroups(pid: int) -> list[tuple[str, str, str]] | None:
    """Return [(hierarchy's number, its controllers, the process' path in it)]; None if it ended.

    Controllers are "" in version 2.
    """
    text = read(f"/proc/{pid}/cgroup")
    if text is None:
        return None
    lines = text.decode("utf-8", "surrogateescape").split("\n")  # names may have \r, but no newline
    fields = (line.split(":", _CGROUP_FIELDS - 1) for line in lines)
    return [(one[0], one[1], one[2]) for one in fields if len(one) == _CGROUP_FIELDS]


def namespace(pid: int, kind: str) -> str | None:
    """Return a namespace's name, like "pid:[4026531836]"; None if the process has ended."""
    return _link(f"/proc/{pid}/ns/{kind}")


def is_initial(kind: str) -> bool:
    """Return whether our namespace, "pid" or "user", is the machine's."""
    return namespace_inode("self", kind) == INITIAL[kind]


def namespace_inode(pid: int | str, kind: str) -> int:
    """Return a namespace's inode; 0 if the process has ended or may not be read."""
    try:
        return posix.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError:
        return 0


def program(pid: int) -> str | None:
    """Return the path of a process' program; None if it has ended, or is a kernel thread."""
    return _link(f"/proc/{pid}/exe")


def open_files(pid: int) -> set[str]:
    """Return the kernel's names of a process' open files, as far as they can be read."""
    directory = f"/proc/{pid}/fd"
    try:
        names = posix.listdir(directory)
    except OSError:
        return set()
    return {link for name in names if (link := _link(f"{directory}/{name}"))}


def _link(path: str) -> str | None:
    try:
        return posix.readlink(path)
    except OSError:
        return None
