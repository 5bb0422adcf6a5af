"""Checks of the installation: its launcher, its owner, and the directories it writes to."""

import contextlib
import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.doctor import remedies
from runc_wrap.doctor.remedies import Finding
from runc_wrap.host import ownership, program
from runc_wrap.node.paths import Places

_MODE, _EXECUTABLE = 0o755, 0o111  # of the launcher
_SECONDS = 30.0  # a start of the interpreter takes 0.03
_FEW = 300  # characters of a reason
_INTERPRETER = ("-I", "-S", "-B", "-X", "utf8")  # as in launcher.c
# Prints what the hot path does without, a name a line; cold.py says what it accepts.
_MISSED = """
import sys
sys.path.insert(0, sys.argv[1])
from _frozen_importlib_external import MAGIC_NUMBER
from _imp import source_hash
from runc_wrap.hotpath import json_codec
try:
    with open(sys.argv[1] + "/hotpath.packed", "rb") as file:
        packed = file.read()
except OSError:
    packed = b""
if packed[:12] != MAGIC_NUMBER + source_hash(0, packed[12:]):
    print("hotpath.packed")
if json_codec.NAME != "orjson":
    print("orjson")
"""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LITTLE = 1024 * 1024  # bytes: some thousand decisions


def launcher(places: Places) -> Iterator[Finding]:
    """Find a launcher, which engines call, that does not exist or cannot be executed."""
    path, again = places.wrapper, remedies.install_again(places)
    if not path.is_file():
        yield remedies.error(f"{path}, which engines call, does not exist", again)
    elif path.is_symlink():  # by `uninstall` or a package's removal, while engines still call it
        to = path.readlink()
        sentence = f"{path}, which engines call, leads to {to}: containers are not confined"
        yield remedies.error(sentence, again)
    elif not os.access(path, os.X_OK):
        mode = stat.S_IMODE(path.stat().st_mode)
        is_fixable = mode & _EXECUTABLE != _EXECUTABLE
        yield remedies.error(
            f"{path}, which engines call, cannot be executed (mode {mode:04o})",
            "make it executable, or mount it without noexec",
            remedies.line("chmod", f"{_MODE:04o}", path),
            partial(remedies.change_mode, path, gives=_MODE) if is_fixable else None,
        )


def cold_create(places: Places) -> Iterator[Finding]:
    """Find parts of the release in force that are missing or damaged, by starting them once.

    What others can change is not started: root may ask about a user's own installation. Of that
    the check of the owner tells.
    """
    release = places.prefix / "lib" / "current"
    hot, python = release / "hotpath", release / "python"
    if _are_others(python, hot):
        return
    _, why = _ran(python, hot / "cold.py")  # ends with 0 once everything is imported
    remedy = remedies.install_again(places)
    if why:
        sentence = f"{python} cannot start {hot / 'cold.py'}, and creates need it: {why}"
        yield remedies.error(sentence, remedy)
        return
    missed, why = _ran(python, "-c", _MISSED, hot)
    if why:
        yield remedies.warning(f"a part of {hot} cannot be imported: {why}", remedy)
    if "hotpath.packed" in missed:
        path, cost = hot / "hotpath.packed", "a create without the agent takes 1.5 ms longer"
        sentence = f"{path} is missing, damaged or of another Python: {cost}"
        yield remedies.warning(sentence, remedy)
    if "orjson" in missed:
        sentence = f"{hot / 'orjson'} cannot be loaded: a create without the agent is slower"
        yield remedies.warning(sentence, remedy)


def _are_others(*paths: Path) -> bool:
    with contextlib.suppress(OSError):
        return any(True for path in paths for _ in ownership.of(str(path)))
    return True


def _ran(python: Path, *words: str | Path) -> tuple[str, str]:
    """Start the release's interpreter; return what it printed, and why it failed, "" if not."""
    ended = program.run(str(python), *_INTERPRETER, *map(str, words), seconds=_SECONDS)
    return ended.printed, "" if ended.is_well else safe_text.name(ended.said, _FEW)


def owner(places: Places) -> Iterator[Finding]:
    """Find what others can change in the installation, or in the directories above it."""
    try:
        for path, how in ownership.installation(str(places.prefix)):
            yield _open_to_others(places, Path(path), how)
    except OSError as error:
        remedy = f"run doctor as root; if it says the same, {remedies.install_again(places)}"
        yield remedies.note(f"{error.filename}: {error.strerror}", remedy)


def _open_to_others(places: Places, path: Path, how: str) -> Finding:
    """Return the finding. Packages have etc and var outside of the prefix."""
    by_mode = "access control list" not in how and _is_only_mode(path)
    parts = (places.prefix, places.etc, places.var)
    is_ours = any(path.is_relative_to(part.resolve()) for part in parts)
    closed = partial(remedies.change_mode, path, takes=_OTHERS_WRITE)
    return remedies.error(
        f"{path} {how}, which lets others run programs as the engine",
        f"let only root own and write it (chown root, chmod go-w, setfacl -b {path}), or "
        "install in a directory that only root can write",
        remedies.line("chmod", "go-w", path) if by_mode else "",
        closed if by_mode and is_ours else None,
    )


def _is_only_mode(path: Path) -> bool:
    """Tell whether a path belongs to whom it should, and its mode lets others write."""
    found = path.lstat()
    is_owned = found.st_uid in (0, os.geteuid()) and not stat.S_ISLNK(found.st_mode)
    return is_owned and bool(found.st_mode & _OTHERS_WRITE)


def records(places: Places) -> Iterator[Finding]:
    """Find directories of records that cannot be written, and those that others can read.

    A create goes on without its ledger line if that cannot be written: nothing else tells.
    """
    private = [places.ledger, places.evidence, places.agent, places.var / "lock"]
    for path in (places.var, *private):
        with contextlib.suppress(OSError):  # it does not exist yet, or the caller may not look
            if finding := _unwritable(path):
                yield finding
                return
    for path in private:
        with contextlib.suppress(OSError):
            yield from _readable(path)


def _unwritable(path: Path) -> Finding | None:
    """Return why nothing can be written in a directory, None if it can. Raises OSError."""
    system = os.statvfs(path)
    free = system.f_bavail * system.f_frsize
    if system.f_flag & os.ST_RDONLY:
        return remedies.error(
            f"{path} is mounted read-only: no decision is recorded, and no policy can be applied",
            "mount it writable",
            remedies.line("mount", "-o", "remount,rw", _mount_of(path)),
        )
    if free < _LITTLE or (system.f_files and not system.f_favail):
        sentence = f"the file system of {path} is full: no decision is recorded"
        command = f"{remedies.line('du', '-xh', _mount_of(path))} | sort -h | tail"
        return remedies.error(sentence, "delete what the command shows", command)
    if os.geteuid() == 0 and not os.access(path, os.W_OK):
        sentence = f"root cannot write in {path}: no decision is recorded"
        return remedies.error(sentence, "let root write there", remedies.line("chattr", "-i", path))
    return None


def _mount_of(path: Path) -> Path:
    path = path.resolve()
    return next(each for each in (path, *path.parents) if each.is_mount())


def _readable(path: Path) -> Iterator[Finding]:
    """Find a directory of records that others can open. Raises OSError."""
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode) and mode & _OTHERS:
        can = f"can be opened by others (mode {stat.S_IMODE(mode):04o})"
        yield remedies.warning(
            f"{path}, which tells what ran here, {can}",
            "let only root open it",
            remedies.line("chmod", "700", path),
            partial(remedies.change_mode, path, takes=_OTHERS),
        )
