"""What to do about a failure of an installation, in one sentence for its last line."""

from __future__ import annotations

import errno
from pathlib import Path

from runc_wrap.host.systemd import UnitFailed

_AGAIN = "then run install.sh again"
_BY_ERROR = {
    errno.ENOSPC: "make room on that file system (`df -h {path}` shows it)",
    errno.EDQUOT: "make room on that file system (`df -h {path}` shows it)",
    errno.EROFS: "mount that file system writable (`findmnt -T {path}` shows it)",
    errno.EACCES: "run it as root, where no mount or security module forbids it",
    errno.EPERM: "run it as root; `lsattr -d {path}` shows a file that nobody may change",
    errno.ENOENT: "unpack the archive or the checkout again, of which that is missing",
}
_IN_THE_WAY = "move away what is there (`ls -ld {path}` shows it)"


def sentence(error: BaseException, prefix: Path) -> str:
    """Return it; `prefix` stands for a file that is not named."""
    if isinstance(error, OSError):
        what = _BY_ERROR.get(error.errno or 0, _IN_THE_WAY)
        return f"Try: {what.format(path=_place(error, prefix))}, {_AGAIN}."
    if isinstance(error, UnitFailed):
        return f"Try: mend what that says, {_AGAIN}, or give it --no-services."
    if isinstance(error, ValueError):
        return f"Try: unpack the archive or the checkout again, as this one is damaged, {_AGAIN}."
    room = _BY_ERROR[errno.ENOSPC].format(path=prefix)  # a program failed, and said why
    return f"Try: read what that program said, {room} if it lacks any, {_AGAIN}."


def of_policy(said: str, prefix: Path, *, is_first: bool) -> str:
    """Return it for a policy that `apply` refuses, with what it said.

    `is_first`: nothing is in force, so runc-wrapctl, which that may advise, is not installed.
    """
    if is_first and "runc-wrapctl" in said:
        return (
            f"Try: change {prefix}/etc so that it needs no runc-wrapctl, which is not installed "
            "yet, and run install.sh again; change it back when what that says is done"
        )
    return f"Try: correct that, {_AGAIN}"


def _place(error: OSError, prefix: Path) -> Path:
    """Return the directory of a file: the file itself may be ours, and gone by now."""
    named = Path(str(error.filename2 or error.filename or ""))
    return named.parent if named.is_absolute() else prefix
