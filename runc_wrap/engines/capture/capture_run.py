"""Captures an engine's default: asks for containers, collects their blocks, makes one profile.

One request for no capability, one for all, one for the usual ones, one for each on which a default
is known to depend, and one for all others, which are asked for one by one if that differs from
none. The launcher writes each block into the request's own file (hotpath.captured_block), and
refuses the container.
"""

import contextlib
import datetime as dt
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from runc_wrap.documents.reader import DocumentError, read, record
from runc_wrap.engines import engine_registry
from runc_wrap.engines.capture import capture_store
from runc_wrap.engines.engine_class import Engine
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.probe_container import CAPTURE, Probe
from runc_wrap.engines.transaction import transaction_record
from runc_wrap.host import files
from runc_wrap.host.progress_meter import Meter
from runc_wrap.hotpath.captured_block import TOKEN_LENGTH
from runc_wrap.hotpath.main import own_capabilities
from runc_wrap.node.paths import Places
from runc_wrap.profiles import builtin, captured_profile, engine_versions, platform
from runc_wrap.profiles.runtime_spec_names import USUAL

Json = dict[str, Any]
Caps = frozenset[str]
_LARGEST = 1024 * 1024  # bytes of a record; the longest default of an engine has 10 KB
_SAID = 200  # characters of an engine's failure
_TRIES = 5


def capture(
    places: Places,
    name: str,
    socket: Path | None = None,
    meter: Meter | None = None,
    config: Path | None = None,
) -> tuple[captured_profile.CapturedProfile, dict[Caps, Json]]:
    """Return the captured default of the engine `name`, and the blocks that it is made of.

    `socket` and `config` are the engine's, where there are several or it is not at the usual place.
    Raises EngineError, ProfileError and OSError.
    """
    named = str(config.absolute()) if config else ""
    engine, installed = _installed(name, named, socket)
    _check_running(engine, installed)
    engine.check_probes()
    with _requests(places) as directory:
        handler = str(places.wrapper) if engine.takes_path else engine.leading_to(places.wrapper)
        engine.remove_probes(CAPTURE)
        try:
            engine.prepare_probes(directory)
            blocks = _Asking(places, engine, handler, directory).blocks(meter or Meter())
        finally:
            engine.remove_probes(CAPTURE)
    profile = captured_profile.derived(blocks, name)
    kernel = ".".join(map(str, platform.kernel()))
    time = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    program = capture_store.fingerprint(name, named)
    made = captured_profile.CapturedProfile(
        name, installed, time, platform.goarch(), kernel, program, profile, named
    )
    return made, blocks


@record
class _Recorded:
    """What hotpath.captured_block wrote."""

    bounding: list[str]
    seccomp: dict[str, Any]


class _Asking(NamedTuple):
    """An engine that is asked, its handler or path that leads to us, and its own directory."""

    places: Places
    engine: Engine
    handler: str
    directory: Path

    def blocks(self, meter: Meter) -> dict[Caps, Json]:
        """Return each set's block; ask for the others one by one only if they change anything."""
        has = own_capabilities()
        known = builtin.deciding_capabilities() & has
        others = has - known
        wanted = dict.fromkeys([Caps(), has, USUAL & has, *_each_alone(known), others])
        found = {caps: self._block(caps) for caps in meter.counting([*wanted])}
        if captured_profile.differences(found[Caps()], found[others]):
            found |= {caps: self._block(caps) for caps in meter.counting(_each_alone(others))}
        return found

    def _block(self, caps: Caps) -> Json:
        """Ask, and again if the engine did not get to it: a kubelet may end the pod.

        Raises EngineError.
        """
        name, said = self.engine.name, ""
        wished = f"a container with {', '.join(sorted(caps)) or 'no capability'}"
        for _ in range(_TRIES):
            found, said = self._asked(caps)
            if found is None:
                continue
            if frozenset(found.bounding) != caps:
                given = ", ".join(found.bounding)[:_SAID] or "none"
                raise EngineError(
                    f"{name} was asked for {wished} and gave it {given}; try: run it with all "
                    "capabilities of this node, as its package does"
                )
            if not found.seccomp:
                why = f"{name} gives {wished} no seccomp profile"
                raise EngineError(f"{why}; try: a build of it with seccomp")
            return captured_profile.checked(found.seccomp, name)
        raise EngineError(f"{name} did not hand {wished} to runc-wrap: {said[-_SAID:]}")

    def _asked(self, caps: Caps) -> tuple[_Recorded | None, str]:
        """Return the launcher's record, None if there is none, and what the engine said."""
        token = secrets.token_hex(TOKEN_LENGTH // 2)
        request = self.places.capture / token
        os.close(os.open(request, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            probe = Probe(CAPTURE, self.handler, caps, token)
            said = self.engine.start_probe(probe, self.directory).said
            data = files.read(request, _LARGEST)
            return read(_Recorded, data) if data else None, said
        except (files.TooLarge, DocumentError) as error:
            raise EngineError(f"no record of a seccomp profile: {error}") from error
        finally:
            request.unlink(missing_ok=True)


def _each_alone(names: Caps) -> list[Caps]:
    return [Caps([name]) for name in sorted(names)]


def _installed(name: str, config: str, socket: Path | None) -> tuple[Engine, str]:
    """Return the engine with this configuration, otherwise the first, and its version."""
    kind = engine_registry.kind(name)
    found = kind.at(Path(config)) if config else next(iter(kind.detect()), None)
    version = capture_store.version(name, config)
    if found is None or version is None:
        of = f" of {config}" if config else ""
        raise EngineError(f"no {name}{of} answers to --version; try: install it")
    return replace(found, named_socket=socket), version


def _check_running(engine: Engine, installed: str) -> None:
    """Compare what runs with what is installed. Raises EngineError."""
    running, parse = engine.running_version(), engine_versions.parse
    if running is None:
        raise EngineError(
            f"{engine} does not answer: {engine.silence() or 'it does not tell its version'}; "
            "try: --socket, if it answers elsewhere"
        )
    if parse(running) != parse(installed):
        raise EngineError(
            f"{engine.name} {running} runs, and {installed} is installed; try: restart it if it "
            "was upgraded, or name the one that runs by --config"
        )


@contextlib.contextmanager
def _requests(places: Places) -> Iterator[Path]:
    """Make the directory of requests, for root only, and in it one for what an engine needs.

    Nobody else captures meanwhile, nor restarts an engine, nor removes Docker's image.
    """
    with transaction_record.exclusive(places):
        shutil.rmtree(places.capture, ignore_errors=True)  # a killed one's
        places.capture.mkdir(mode=0o700)
        directory = places.capture / "engine"
        directory.mkdir()
        try:
            yield directory
        finally:
            shutil.rmtree(places.capture, ignore_errors=True)
