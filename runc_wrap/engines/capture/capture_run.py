"""Captures an engine's default: asks for containers, collects their blocks, makes one profile.

One request for no capability, one for all, one for the usual ones, one for each on which a default
is known to depend, and one for all others, which are asked for one by one if that differs from
none. The launcher writes each block into the request's own file (hotpath.capture), and refuses the
container.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import secrets
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap.engines import registry
from runc_wrap.engines.capture import capture_store
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.profile_requests import DEFAULT_CAPABILITIES, Asked
from runc_wrap.engines.registration import registration_state
from runc_wrap.host import files
from runc_wrap.host.locks import locked
from runc_wrap.host.meter import Meter
from runc_wrap.hotpath.capture import TOKEN_LENGTH
from runc_wrap.hotpath.main import own_capabilities
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.profiles import (
    block_comparison,
    builtin,
    captured_profile,
    engine_versions,
    platform,
)
from runc_wrap.profiles.captured_profile import CapturedProfile
from runc_wrap.profiles.json_profiles import json_fields

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.engines.engine import Engine
    from runc_wrap.engines.profile_requests import Requests
    from runc_wrap.node.paths import Places

Json = dict[str, Any]
Caps = frozenset[str]
_LARGEST = 1024 * 1024  # bytes of a record; the longest default of an engine has 10 KB
_SAID = 200  # characters of an engine's failure


def capture(
    places: Places,
    name: str,
    socket: Path | None = None,
    meter: Meter | None = None,
    config: Path | None = None,
) -> tuple[CapturedProfile, dict[Caps, Json]]:
    """Return the captured default of the engine `name`, and the blocks that it is made of.

    `socket` and `config` are the engine's, where there are several or it is not at the usual place.
    Raises EngineError, ProfileError and OSError.
    """
    named = str(config.absolute()) if config else ""
    installed = _installed(name, named)
    with _requests(places) as directory:
        found = _chosen(name, config)
        handler = _our_handler(places, found)
        engine = found.requests(Asked(name, places.wrapper, directory, socket, handler))
        _check_running(engine, installed)
        engine.clean()
        try:
            engine.prepare()
            blocks = _blocks(places, engine, meter or Meter())
        finally:
            engine.clean()
    profile = captured_profile.derived(blocks, name)
    kernel = ".".join(map(str, platform.kernel()))
    time = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    program = capture_store.fingerprint(name, named)
    made = CapturedProfile(
        name, installed, time, platform.goarch(), kernel, program, profile, named
    )
    return made, blocks


def _chosen(name: str, config: Path | None) -> Engine:
    """Return the engine with this configuration, otherwise the first."""
    kind = registry.kind(name)
    if config is not None:
        return kind.at(config.absolute())
    return next(iter(kind.detect()), kind.at(kind.usual))


def _our_handler(places: Places, found: Engine) -> str | None:
    """Return a handler of this engine that leads to our launcher, if one is registered."""
    ours = (found.name, found.config)
    for state in registration_state.states(places.engines):
        if (state.engine, state.config) == ours and state.handlers:
            return state.handlers[0].name
    return None


def _installed(name: str, config: str) -> str:
    version = capture_store.version(name, config)
    if version is None:
        of = f" of {config}" if config else ""
        raise EngineError(
            f"no {name}{of} answers to --version", "an installed engine", "install it"
        )
    return version


def _check_running(engine: Requests, installed: str) -> None:
    running, parse = engine.running(), engine_versions.parse
    if running is not None and parse(running) != parse(installed):
        raise EngineError(
            f"{engine.name} {running} runs, and {installed} is installed",
            "the installed one, since that decides after the next restart",
            f"restart {engine.name} if it was upgraded, or name the one that runs by --config, "
            "then run this again",
        )


@contextlib.contextmanager
def _requests(places: Places) -> Iterator[Path]:
    """Make the directory of requests, for root only, and in it one for what an engine needs.

    Nobody else captures meanwhile.
    """
    with locked(places.var, "capture"):
        shutil.rmtree(places.capture, ignore_errors=True)  # a killed one's
        places.capture.mkdir(mode=0o700)
        directory = places.capture / "engine"
        directory.mkdir()
        try:
            yield directory
        finally:
            shutil.rmtree(places.capture, ignore_errors=True)


class Cases(NamedTuple):
    """The capability sets to ask for: each of `known` alone, all of `others` at once, and more.

    `known` are those on which some engine's default is known to depend.
    """

    known: tuple[Caps, ...]
    others: Caps
    more: tuple[Caps, ...]


def cases(engine: Requests) -> Cases:
    """Return what to ask an engine for; `more` are none, all, and what engines give unasked."""
    has = frozenset(CAPABILITIES) if engine.grants_any else own_capabilities()
    known = builtin.deciding_capabilities() & has
    more = (Caps(), has, DEFAULT_CAPABILITIES & has)
    return Cases(tuple(Caps([name]) for name in sorted(known)), has - known, more)


def _blocks(places: Places, engine: Requests, meter: Meter) -> dict[Caps, Json]:
    """Return each set's block; ask for the others one by one only if they change anything."""
    asked = cases(engine)
    wanted = list(dict.fromkeys([*asked.more, *asked.known, asked.others]))
    found = {caps: _block(places, engine, caps) for caps in meter.counting(wanted)}
    if block_comparison.differences(found[Caps()], found[asked.others]):
        others = [Caps([name]) for name in sorted(asked.others)]
        found |= {caps: _block(places, engine, caps) for caps in meter.counting(others)}
    return found


def _block(places: Places, engine: Requests, caps: Caps) -> Json:
    """Ask once, and once more if the engine did not get to it. Raises EngineError."""
    record, said = _asked(places, engine, caps)
    if record is None:
        record, said = _asked(places, engine, caps)
    wished = f"a container with {', '.join(sorted(caps)) or 'no capability'}"
    if record is None:
        raise EngineError(
            f"{engine.name} did not hand {wished} to runc-wrap: {said[-_SAID:]}",
            "a call of the runtime",
            "mend what it says, then run this again",
        )
    if frozenset(record["bounding"]) != caps:
        given = ", ".join(map(str, record["bounding"]))[:_SAID] or "none"
        raise EngineError(
            f"{engine.name} was asked for {wished} and gave it {given}",
            "exactly those",
            "run it with all capabilities of this node, as its package does",
        )
    if not record["seccomp"]:
        raise EngineError(
            f"{engine.name} gives {wished} no seccomp profile",
            "its default",
            "a build of it with seccomp support",
        )
    return captured_profile.checked(record["seccomp"], engine.name)


def _asked(places: Places, engine: Requests, caps: Caps) -> tuple[Json | None, str]:
    """Return the launcher's record, None if there is none, and what the engine said."""
    token = secrets.token_hex(TOKEN_LENGTH // 2)
    request = places.capture / token
    os.close(os.open(request, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        said = engine.request(caps, token)
        return _record(files.read(request, _LARGEST), engine.name), said
    except files.TooLarge as error:
        raise EngineError(str(error), "a record of a seccomp profile", "look at it") from error
    finally:
        request.unlink(missing_ok=True)


def _record(data: bytes, source: str) -> Json | None:
    """Return what hotpath.capture wrote. Raises ProfileError."""
    if not data:
        return None
    record = json_fields.decode(data, source)
    if not isinstance(record, dict) or not isinstance(record.get("seccomp"), dict):
        raise EngineError(f"{source}'s record is not one of this release", "one", "install again")
    bounding = record.get("bounding")
    names = [each for each in bounding if isinstance(each, str)] if bounding else []
    return {"bounding": names, "seccomp": record["seccomp"]}
