"""Starting programs, ending exactly these by their pid, and limiting or tracing a running one."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from harness.node.requirements import SEARCH, program, unmet

Run = subprocess.CompletedProcess[str]
Argv = Sequence[str | os.PathLike[str]]
_CGROUPS = Path("/sys/fs/cgroup")

# runc 1.1 copies itself to a memfd and seals the copy (libcontainer/nsenter/cloned_binary.c); Linux
# refuses that while anything else holds one of the copy's pages (mm/memfd.c). Seen once, in CI,
# among thousands of containers; runc gives up, and nothing has been started. The first message
# is in runc's log; an engine shows another: init closed its pipe before it reported its copy.
_NOT_SEALED = (
    "could not ensure we are a cloned binary: Device or resource busy",
    "unable to start container process: waiting for init preliminary setup: ",
    "unable to start container process: can't copy bootstrap data to pipe: write init-p: ",
)


class CommandError(AssertionError):
    """A command that had to succeed failed; its whole output is the message."""


class NotSealedWarning(UserWarning):
    """The kernel refused runc the seal on its own copy, and the command was repeated."""


def environment(**changes: str) -> dict[str, str]:
    """Return this process' environment with the sbin directories in PATH, and these changes."""
    return {**os.environ, "PATH": SEARCH, "LC_ALL": "C.UTF-8", **changes}


def attempt(
    argv: Argv,
    *,
    env: dict[str, str] | None = None,
    stdin: str = "",
    seconds: float = 150,
    cwd: Path | None = None,
    again: Callable[[], Argv] | None = None,
) -> Run:
    """Run to the end; both outputs are text. Any exit status is a result.

    Repeat it if runc did not even start: `again` cleans up and returns the words for that.
    """

    def once(words: Argv) -> Run:
        return subprocess.run(  # noqa: PLW1510 - the status is what the caller looks at
            words,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            cwd=cwd,
            env=environment() if env is None else env,
        )

    done = once(argv)
    if done.returncode and is_not_sealed(done.stdout + done.stderr):
        done = once(again() if again else argv)
    return done


def run(argv: Argv, **options: Any) -> Run:
    """Run as `attempt` does, with its options, and insist on exit status 0."""
    done = attempt(argv, **options)
    if done.returncode:
        words = " ".join(map(str, argv))
        raise CommandError(f"{words}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def script(path: Path, text: str) -> Path:
    """Write a program, which is one of sh where it does not say another; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def installed_version(name: str, *words: str) -> str:
    """Return a program's or package's own version, as numbers and dots."""
    said = run([program(name), *(words or ["--version"])]).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    assert found, said
    return found[0]


def is_not_sealed(told: str) -> bool:
    """Return, and warn, whether the kernel refused runc the seal: then repeat the call."""
    if any(words in told for words in _NOT_SEALED):
        warnings.warn(NotSealedWarning(told), stacklevel=2)
        return True
    return False


def wait_until(
    condition: Callable[[], bool], what: str, seconds: float = 20, *, pause: float = 0.02
) -> None:
    """Poll until the condition holds; if it never does, report what was waited for.

    `pause`: seconds between two polls, longer where asking is what keeps the answer waiting.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CommandError(f"waited {seconds} s for {what}")
        time.sleep(pause)


@contextlib.contextmanager
def short_directory(name: str, mode: int = 0o700) -> Iterator[Path]:
    """Yield a directory whose path is short enough for unix sockets (108 bytes), then remove it."""
    directory = Path(tempfile.mkdtemp(prefix=f"rw-{name}-", dir="/tmp"))
    directory.chmod(mode)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Daemon:
    """One program in the background, its output in a file, dying with the test process."""

    def __init__(self, argv: Argv, log: Path, env: dict[str, str] | None = None) -> None:
        self.log, self._argv, self._env = log, argv, env
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *self._argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env or environment(),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    def restart(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Stop it, do something, and start the same program again."""
        self.stop()
        meanwhile()
        self.process = self._started()

    def wait_ready(self, ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until it is ready; if it ends instead, fail with the end of its log."""

        def ended_or_ready() -> bool:
            return self.process.poll() is not None or ready()

        try:
            wait_until(ended_or_ready, what, seconds)
        except CommandError as error:
            raise CommandError(f"{error}\n{self.tail()}") from None
        if self.process.poll() is not None:
            raise CommandError(f"{what} ended at once\n{self.tail()}")

    def tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def stop(self) -> None:
        """Terminate it, then kill it."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(15)


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Keep processes from running during the block, like those without CPU."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def repeating(
    do: Callable[[], object], *, pause: Callable[[], float] = lambda: 0, threads: int = 1
) -> Iterator[None]:
    """Do it again and again during the block, after pauses in seconds; its error is raised then."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(pause()):
            do()

    with ThreadPoolExecutor(threads) as pool:
        loops = [pool.submit(loop) for _ in range(threads)]
        try:
            yield
        finally:
            over.set()
    for one in loops:
        one.result()


@contextlib.contextmanager
def limited(pid: int, controller: str, limits: Mapping[str, str]) -> Iterator[None]:
    """Move a process into a cgroup (version 1) with these limits; afterwards move it back."""
    parent = _CGROUPS / controller
    if not (parent / "cgroup.procs").exists():
        unmet(f"needs the {controller} controller of cgroup version 1")
    group = parent / f"runc-wrap-test-{os.getpid()}-{pid}"
    group.mkdir()
    try:
        for name, value in limits.items():
            (group / name).write_text(value)
        before = _cgroup_of(pid, controller)
        (group / "cgroup.procs").write_text(str(pid))
        yield
        with contextlib.suppress(ProcessLookupError):  # it may have been killed
            (parent / before / "cgroup.procs").write_text(str(pid))
    finally:
        if (group / "memory.limit_in_bytes").exists():  # a process that waits for memory can end
            (group / "memory.limit_in_bytes").write_text("-1")
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group to be empty")
        group.rmdir()


def _cgroup_of(pid: int, controller: str) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    named = {names: path for _, names, path in (line.split(":", 2) for line in lines)}
    return named.get(controller, "/").lstrip("/")


@contextlib.contextmanager
def traced(pid: int, log: Path, *words: str) -> Iterator[None]:
    """Trace a running process by strace until the end of the block or of the process."""
    argv = [program("strace"), "-qq", "-o", str(log), *words, "-p", str(pid)]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)

    def attached() -> bool:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # its first call was the last one
            return True
        return "TracerPid:\t0\n" not in status or "State:\tZ" in status

    try:
        wait_until(attached, "strace to attach")
        yield
    finally:
        process.terminate()
        process.wait(10)
