"""Running a program to its end, in an environment that we make, with bounded time and output.

Off the hot path and outside of the agent nothing else starts a program (tests/imports). What root
runs has none of the caller's variables: HOME would lead to .docker/cli-plugins and .rpmmacros,
DOCKER_HOST to another machine, TMPDIR to others' directories. Nor does root execute what others may
replace.
"""

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runc_wrap.failure import Failure
from runc_wrap.host import ownership

FIXED_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_GIVEN = {"PATH": ":".join(FIXED_PATH), "LC_ALL": "C.UTF-8", "DOCKER_CONTEXT": "default"}
NO_HOME = "/nonexistent"  # as the user nobody's; only root could make it
_SECONDS = 20
_LARGEST = 8 << 20  # bytes of stdout, and of stderr; a program that prints more is killed
_LOOKED_AT = 0.1  # seconds between two looks at how much that is
_USERS = ("HOME", "LANG", "XDG_RUNTIME_DIR")  # a user's own, for their own containers
_MOST_SAID = 600  # characters of a failure
MISSING, HUNG, TOO_MUCH, GIVEN_UP = 127, -1, -1000, -1001


def made_environment() -> dict[str, str]:
    """Return the variables of a program. Docker's context would lead to another machine."""
    kept = {} if _is_root() else {name: os.environ[name] for name in _USERS if name in os.environ}
    return {"HOME": NO_HOME, **kept, **_GIVEN}


def _is_root() -> bool:
    """Tell whether this is root: in a user's own namespace the owner of / is not mapped."""
    return os.geteuid() == 0 == os.stat("/").st_uid  # noqa: PTH116


def locate(name: str) -> Path | None:
    """Return a program's path, None if missing; names without a slash are found in FIXED_PATH."""
    candidates = [Path(name)] if "/" in name else [Path(place) / name for place in FIXED_PATH]
    return next((path for path in candidates if os.access(path, os.X_OK) and path.is_file()), None)


def refusal(path: Path) -> str:
    """Return how another user could replace a program that root is to execute, "" if nobody can."""
    if not _is_root():
        return ""
    try:
        for where, how in ownership.of(str(path.absolute())):
            return f"{where} {how}, so others could replace {path}, which root would execute"
    except OSError as error:
        return f"{path} cannot be looked at: {error.strerror}"
    return ""


@dataclass(frozen=True)
class Ended:
    """How a program ended; `said` is one line: the end of its stderr, or of its stdout without one.

    `status` is MISSING for a program that is not installed, HUNG for one that took too long or was
    not executed, TOO_MUCH for one that printed too much, GIVEN_UP as its caller wished. `raw` is
    what it printed, as bytes: a fleet's answers wait as they are.
    """

    status: int
    raw: bytes
    said: str
    complaint: str = ""  # all of its stderr

    @property
    def printed(self) -> str:
        """What it printed, as text."""
        return self.raw.decode(errors="replace")

    @property
    def is_well(self) -> bool:
        """Whether it succeeded."""
        return self.status == 0


def output(name: str, *words: str) -> str | None:
    """Return what a program printed, None if it failed, hung or is missing."""
    ended = run(name, *words, seconds=_SECONDS)
    return ended.printed if ended.is_well else None


def failure(name: str, *words: str) -> str:
    """Run a program; return "" if it succeeded, otherwise the end of what it said."""
    ended = run(name, *words, seconds=_SECONDS)
    return "" if ended.is_well else ended.said


def run(  # noqa: PLR0913 - most have defaults
    name: str,
    *words: str,
    seconds: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    largest: int | None = None,
    is_given_up: Callable[[], bool] = bool,
) -> Ended:
    """Run a program as `locate` finds it to its end; `environment` is all that it has, or ours.

    It is killed if it prints more than `largest` bytes, or once `is_given_up` returns true.
    """
    path, most = locate(name), largest or _LARGEST
    if path is None:
        return Ended(MISSING, b"", f"{name} is not installed")
    if why := refusal(path):
        return Ended(HUNG, b"", why)
    called = " ".join((name, *words[:1]))
    with _memory() as given, _memory() as out, _memory() as err:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                [path, *words], stdin=given, stdout=out, stderr=err,
                env=made_environment() if environment is None else environment,
            )  # fmt: skip
        except OSError as error:
            return Ended(HUNG, b"", f"{path}: {error.strerror}")
        with process:
            try:
                until = time.monotonic() + seconds
                excess = _excess(process, (out, err), until, most, is_given_up)
            finally:  # also where Ctrl-C interrupts it
                process.kill()
                for file in (out, err):  # what it started may go on and have these open
                    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
        if excess:
            how = _EXCESS[excess].format(seconds=seconds, most=most)
            return Ended(excess, b"", f"`{called}` {how}")
        raw, complaint = _bytes(out, most), _bytes(err, most).decode(errors="replace")
    last = complaint or raw[-16 * _MOST_SAID :].decode(errors="replace")
    last = last[-4 * _MOST_SAID :]  # all of its words would take 20 times as much
    said = " ".join(last.split())[-_MOST_SAID:]
    status = process.returncode
    return Ended(status, raw, said or f"it ended with status {status}", complaint)


def do(name: str, *words: str, seconds: float) -> None:
    """Run a program that must succeed. Raises Failure: which one failed, and what it said."""
    ended = run(name, *words, seconds=seconds)
    if not ended.is_well:
        raise Failure(f"`{' '.join((name, *words))}` failed: {ended.said}")


@contextmanager
def reading(*words: str) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Start a program whose output the caller reads; kill it however that ends. Raises OSError."""
    if why := refusal(Path(words[0])):
        raise PermissionError(why)
    silent = subprocess.DEVNULL
    with subprocess.Popen(
        words, stdin=silent, stdout=subprocess.PIPE, stderr=silent, env=made_environment()
    ) as process:
        try:
            if process.stdout is not None:
                yield process, process.stdout
        finally:
            process.kill()


_EXCESS = {
    HUNG: "did not end within {seconds:g} s",
    TOO_MUCH: "printed more than {most} bytes",
    GIVEN_UP: "was interrupted",
}


def _excess(
    process: subprocess.Popen[bytes],
    files: tuple[IO[bytes], ...],
    until: float,
    most: int,
    is_given_up: Callable[[], bool],
) -> int:
    """Wait for a program's end; return 0, or how it is to be ended though it runs."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(min(_LOOKED_AT, until - time.monotonic()), 0))
        if any(os.fstat(file.fileno()).st_size > most for file in files):
            return TOO_MUCH
        if process.returncode is not None:
            return 0
        if time.monotonic() > until:
            return HUNG
        if is_given_up():
            return GIVEN_UP


def _memory() -> IO[bytes]:
    """Return a file in memory: a revert must be able to restart an engine on a full disk.

    Whoever opens it again, as /dev/stderr, writes after the others, too. Afterwards nobody can
    add to it (F_SEAL_GROW, fcntl(2)): its memory would belong to nobody who could be ended for it.
    """
    memory = os.memfd_create("output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    file = os.fdopen(memory, "w+b")
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
    return file


def _bytes(file: IO[bytes], largest: int) -> bytes:
    file.seek(0)
    return file.read(largest)
