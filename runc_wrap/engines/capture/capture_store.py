"""The captured defaults on disk, PREFIX/var/captured/ENGINE.json, and whether they still hold."""

import contextlib
import hashlib
import os
from dataclasses import replace
from pathlib import Path

from runc_wrap.engines.engine_class import Engine
from runc_wrap.host import engine_names, files
from runc_wrap.node import installed_programs
from runc_wrap.node.paths import Places
from runc_wrap.profiles import captured_profile, platform
from runc_wrap.profiles.source_profile import ProfileError

_DIGEST = 16  # bytes
_LARGEST = 2 * 1024 * 1024
_BEGINNING = 64 * 1024


def path(places: Places, engine: str) -> Path:
    """Return the file of one engine."""
    return places.captured / f"{engine}.json"


def write(places: Places, captured: captured_profile.CapturedProfile) -> Path:
    """Store a capture in place of the engine's former one; return its file. Raises OSError."""
    places.captured.mkdir(mode=0o755, exist_ok=True)
    where = path(places, captured.engine)
    files.replace(where, captured_profile.text(captured), 0o644)
    return where


def read(places: Places) -> dict[str, captured_profile.CapturedProfile]:
    """Return {engine: its capture}, each with what makes it stale. Raises ProfileError."""
    found = {}
    for engine in engine_names.KNOWN:
        where = path(places, engine)
        if os.path.lexists(where):
            try:
                data = files.read(where, _LARGEST)
            except (OSError, ValueError) as error:  # irregular, too large
                raise ProfileError(f"{where}: {error}; remove it, or capture it again") from error
            captured = captured_profile.parse(data, str(where))
            found[engine] = replace(captured, engine=engine, stale=_stale(captured))
    return found


def _stale(captured: captured_profile.CapturedProfile) -> str:
    """Return what has changed since the capture, in half a sentence, "" if nothing has."""
    engine, was = captured.engine, captured.version
    now = version(engine, captured.config)
    kernel = ".".join(map(str, platform.kernel()))
    if now is None:
        of = captured.config
        return f"the {engine} of {of} is not installed any more" if of else ""
    if now != was:
        return f"it is of {engine} {was}, and {now} is installed"
    if (captured.arch, captured.kernel) != (platform.goarch(), kernel):
        return f"it is of Linux {captured.kernel} on {captured.arch}, and {kernel} runs"
    if captured.program != fingerprint(engine, captured.config):
        return f"{engine}'s program or its seccomp.json is a different file now"
    return ""


def version(engine: str, config: str = "") -> str | None:
    """Return the version of the engine with this configuration, of the one on the path for "".

    None if it is not installed.
    """
    program = _program(engine, config)
    return installed_programs.version_of(program) if program else None


def _program(engine: str, config: str) -> Path | None:
    return _at(engine, config).binary if config else installed_programs.program_of(engine)


def _at(engine: str, config: str) -> Engine:
    from runc_wrap.engines import engine_registry  # noqa: PLC0415 - long, and few have captures

    kind = engine_registry.kind(engine)
    return kind.at(Path(config) if config else kind.usual)


def fingerprint(engine: str, config: str = "") -> str:
    """Return a digest of the files from which an engine has its default: its program, mostly.

    A distribution may change the profile without another version number. A program's size and its
    beginning suffice: Go's linker puts the ids of the build there (cmd/link, .note.go.buildid).
    """
    digest = hashlib.blake2b(digest_size=_DIGEST)
    if program := _program(engine, config):
        with program.open("rb") as file:
            digest.update(b"%d" % os.fstat(file.fileno()).st_size)
            digest.update(file.read(_BEGINNING))
    for path in _at(engine, config).default_files():  # if it is not in its program
        with contextlib.suppress(OSError, ValueError):  # irregular, too large
            digest.update(files.read(path, _LARGEST, follows=True))
    return digest.hexdigest()
