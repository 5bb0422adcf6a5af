"""Executes the real runtime, after undoing what Python's start changed."""

import posix
from _signal import (  # type: ignore[import-not-found]  # typeshed has only signal, which costs enum
    SIG_DFL,
    SIGPIPE,
    SIGXFSZ,
    signal,
)

from runc_wrap.hotpath.errors import Refusal, because, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


SELF = "self"


class Launch:
    """The launcher's words before the caller's own: names, each with its value, and "--".

    --prefix is the installation's directory; --runtime the real runtime's path and --kind "runc" or
    "crun", or SELF, or both "" if there is none; --called-as the path that the engine called.
    --ignored ("", "p", "x", "px") says whether SIGPIPE and SIGXFSZ were ignored, --locale what
    LC_CTYPE was ("=value", or "" for unset): Python's own start changes all three. --ahead is
    "DESCRIPTOR:LENGTH" of an engine's log to which the launcher wrote that Python did not start, or
    "".

    A missing name is "". For an instant of an upgrade the launcher is of another release: unknown
    names are skipped. (install.sh puts a release in place before its launcher, and launchers that
    were started before go on.)
    """

    def __init__(self, words: "list[str]") -> None:
        end = 2 * words[::2].index("--")
        given = dict(zip(words[:end:2], words[1:end:2], strict=True))
        self.arguments = words[end + 1 :]
        self.prefix = given.get("--prefix", "")
        self.kind = given.get("--kind", "")
        self.runtime = given.get("--runtime", "")
        self.called_as = given.get("--called-as", "")
        self.ignored = given.get("--ignored", "")
        self.locale = given.get("--locale", "")
        self.ahead = given.get("--ahead", "")

    def take_back(self) -> None:
        """Take only the launcher's line out of the log, and close the log."""
        if self.ahead:
            descriptor, length = map(int, self.ahead.split(":"))
            _erase(descriptor, length)
            posix.close(descriptor)


def hand_over(launch: Launch) -> "NoReturn":
    """Exec the real runtime with the caller's words. Raises Refusal if that is impossible."""
    _check_runtime(launch)
    _restore_signals(launch.ignored)
    _restore_locale(launch.locale)
    try:
        posix.execv(launch.runtime, [launch.runtime, *launch.arguments])
    except OSError as error:
        raise Refusal(
            f"the runtime {quoted(launch.runtime)} cannot be executed: {because(error)}. Install "
            "it, or name another in config.toml, and run `runc-wrapctl apply`."
        ) from None


def _erase(descriptor: int, length: int) -> None:
    """Erase the launcher's line, at whose end the position is."""
    try:
        end = posix.lseek(descriptor, 0, 1)
        size = posix.fstat(descriptor).st_size
        if size == end:
            posix.ftruncate(descriptor, end - length)
        elif size > end:
            _blank(descriptor, length, end - length)
    except OSError:  # a log that may only grow keeps the line
        return


def _blank(descriptor: int, length: int, start: int) -> None:
    """Overwrite with spaces, which are not JSON. The descriptor itself only appends."""
    anew = posix.open(f"/proc/self/fd/{descriptor}", posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.pwrite(anew, b" " * (length - 1) + b"\n", start)
    finally:
        posix.close(anew)


def _check_runtime(launch: Launch) -> None:
    if launch.kind == SELF:
        raise Refusal(
            f"the runtime {quoted(launch.runtime)} is runc-wrap itself. Name the real runtime in "
            f"{launch.prefix}/etc/config.toml and run `runc-wrapctl apply`."
        )
    if not launch.runtime:
        raise Refusal("no runc or crun is found. Install one and run `runc-wrapctl apply`.")


def _restore_signals(ignored: str) -> None:
    """Undo CPython's ignoring of both at its start (Python/pylifecycle.c init_signals)."""
    if "p" not in ignored:
        signal(SIGPIPE, SIG_DFL)
    if "x" not in ignored:
        signal(SIGXFSZ, SIG_DFL)


def _restore_locale(locale: str) -> None:
    """Undo CPython's setting of LC_CTYPE if the locale is "C" (PEP 538)."""
    if locale:
        posix.putenv("LC_CTYPE", locale[1:])
    else:
        posix.unsetenv("LC_CTYPE")
