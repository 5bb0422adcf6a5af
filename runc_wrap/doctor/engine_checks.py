"""Checks of the engines on this node: the handlers they know, and what they pass on."""

import contextlib
import fnmatch
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from runc_wrap import safe_text
from runc_wrap.doctor import remedies
from runc_wrap.doctor.remedies import Finding
from runc_wrap.engines import engine_registry, stale_features, toml_text
from runc_wrap.engines.containerd import loaded_files
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.engine_class import Engine
from runc_wrap.engines.handler import ANNOTATIONS, DEFAULT_NAME, CallFailed, EngineError, Handler
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.registration.registration_state import Registered
from runc_wrap.engines.transaction import canary_proof, transaction_record
from runc_wrap.host import files
from runc_wrap.node.paths import Places

_LARGEST = 1024 * 1024  # bytes of a drop-in
_MOST = 100  # drop-ins
_NEEDED = ", ".join(ANNOTATIONS)
# written by containerd (internal/cri/annotations)
_OF_CRI = tuple(
    f"io.kubernetes.cri.{name}"
    for name in (
        "container-type sandbox-id sandbox-name sandbox-namespace sandbox-uid container-name "
        "image-name sandbox-log-directory podsandbox.image-name"
    ).split()
)


def handlers(places: Places) -> Iterator[Finding]:
    """Find handlers without a link to the launcher, and those that their engine does not show.

    containerd 2 reads its conf.d only if the configuration imports it. Since 2.2 its built-in
    configuration does, but that counts for nothing where there is no config.toml, or one that does
    not say so (containerd cmd/containerd/server/config/config.go, v2.2.7 to v2.4.0-beta.0): a
    drop-in there is silently ignored, also one that others wrote, and also after others wrote
    config.toml again.
    """
    try:
        states = registration_state.states(places.engines)
    except (EngineError, OSError) as error:
        yield remedies.warning(str(error), "restore that file from a backup")
        return
    for state in states:
        for handler in state.handlers:
            yield from _link(places, handler)
            yield from _of_engine(places, state, handler)
    yield from _ignored(places, states)


def _link(places: Places, handler: Handler) -> Iterator[Finding]:
    """Find a handler whose link does not lead to the launcher, which is another check's."""
    path = Path(handler.path)
    is_launcher = path.is_symlink() and path.resolve() == places.wrapper.resolve()
    if handler.name == DEFAULT_NAME or is_launcher:
        return
    is_there = path.is_symlink() or path.exists()
    wrong = f"leads to {path.resolve()}, without runc-wrap" if is_there else "does not exist"
    is_ours = path.parent == places.wrapper.parent and (path.is_symlink() or not is_there)
    yield remedies.error(
        f"{path}, which an engine calls as its handler {handler.name}, {wrong}",
        "make the link again",
        remedies.line("ln", "-sfn", DEFAULT_NAME, path),
        partial(files.replace_link, path, DEFAULT_NAME) if is_ours else None,
    )


def _of_engine(places: Places, state: Registered, handler: Handler) -> Iterator[Finding]:
    engine, config = state.engine, state.config
    found = engine_registry.at(engine, config)
    if found.binary is None:
        return
    shows = found.shows(handler)
    if shows is False:
        words = ["engine", "add", engine, "--handler", handler.name, "--config", str(config)]
        words += ["--default"] if handler.default else []
        restart = found.reload_command()
        yield remedies.warning(
            f"{engine} does not show the handler {handler.name}, which is registered in {config}",
            f"add it again, then run {restart}",
            f"{remedies.ctl(places, *words)} && {restart}",
        )
    elif shows is None and isinstance(found, Containerd) and config.exists():
        yield remedies.error(
            f"containerd cannot read {config} or a file that it imports: it would not start again",
            "correct what the command names",
            remedies.line(Containerd.names.program, "-c", config, "config", "dump"),
        )


def _ignored(places: Places, states: list[Registered]) -> Iterator[Finding]:
    """Find drop-ins of containerd that name our launcher, and that no configuration imports."""
    own = {(each.config, name) for each in states for name in each.names}
    for config in _configs(states):
        drop_ins = _drop_ins(places, config)
        known = Containerd.at(config).in_force() if drop_ins else None
        for name, path in drop_ins.items():
            if known is not None and name not in known and (config, name) not in own:
                pattern = config.parent / "conf.d" / "*.toml"
                yield remedies.warning(
                    f"{path} defines the handler {name}, but {config} does not import it",
                    f'write imports = ["{pattern}"] at its top, and restart containerd',
                    remedies.edit(config, Containerd.at(config).reload_command()),
                )


def _configs(states: Iterable[Registered]) -> list[Path]:
    """Return containerd's usual configuration, and those with a registered handler."""
    own = [each.config for each in states if each.engine == Containerd.names.name]
    return list(dict.fromkeys([Containerd.usual, *own]))


def _drop_ins(places: Places, config: Path) -> dict[str, Path]:
    """Return {handler: file} of those in conf.d that call our launcher."""
    found: dict[str, Path] = {}
    for path in sorted((config.parent / "conf.d").glob("*.toml"))[:_MOST]:
        with contextlib.suppress(OSError, ValueError, EngineError):
            text = files.read(path, _LARGEST, follows=True).decode()
            binaries = loaded_files.of_dump(toml_text.parse(text, str(path)))
            found |= {name: path for name, one in binaries.items() if _is_ours(one, places)}
    return found


def _is_ours(binary: object, places: Places) -> bool:
    """Tell whether a handler calls the wrapper, directly or by a link."""
    return bool(binary) and Path(str(binary)).resolve() == places.wrapper.resolve()


def passed_on(places: Places) -> Iterator[Finding]:
    """Find our handlers whose patterns pass on annotations of containerd's CRI plugin.

    For a container, the plugin writes all of them last. For a sandbox it does not write all, so
    that those from the pod's author stay. runc-wrap trusts none of these, but an OCI hook or an NRI
    plugin may.
    """
    for config in _configs(registration_state.readable(places.engines)):
        document = Containerd.at(config).dump() or {}
        for plugin in (loaded_files.OLD_CRI, loaded_files.NEW_CRI):
            runtimes = toml_text.lookup(document, [*loaded_files.section_path(plugin), "runtimes"])
            for name, handler in sorted(runtimes.items()):
                options = toml_text.lookup(runtimes, [name, "options"])
                if _is_ours(options.get("BinaryName"), places):
                    yield from _of_handler(config, name, handler)


def _of_handler(config: Path, name: str, handler: dict[str, Any]) -> Iterator[Finding]:
    for kind in ("pod_annotations", "container_annotations"):
        patterns = handler.get(kind)
        for pattern in map(str, patterns if isinstance(patterns, list) else []):
            if passed := [key for key in _OF_CRI if matches(pattern, key)]:
                yield remedies.warning(
                    f"{config}: {kind} of its handler {name} have {pattern!r}, which also passes "
                    f"on annotations that containerd itself writes ({passed[0]}): a pod can then "
                    "choose their values for its sandbox",
                    f"name what is needed instead ({_NEEDED}) and restart containerd",
                    remedies.edit(config, Containerd.at(config).reload_command()),
                )


def matches(pattern: str, key: str) -> bool:
    """Match like Go's path.Match, which containerd uses, a key without slashes; no escapes."""
    return fnmatch.fnmatchcase(key, pattern.replace("[^", "[!"))


def features(places: Places) -> Iterator[Finding]:
    """Find engines that were started before the runtime was changed."""
    for found in stale_features.stale(places):
        yield remedies.warning(
            f"{found} asked for the runtime's features when it started, and the runtime has "
            "changed since: it may refuse pods that need newer ones",
            "restart it when it suits the node",
            found.reload_command(),
        )


def canaries(places: Places) -> Iterator[Finding]:
    """Find test containers that a killed command has left in an engine that answers.

    None if a command that may have started one runs.
    """
    for state in registration_state.readable(places.engines):
        with contextlib.suppress(EngineError, CallFailed, OSError):
            access = engine_registry.installed(state.engine, state.config)
            if count := len(canary_proof.left_canaries(places, access)):
                yield remedies.warning(
                    f"{state.engine} ({state.config}) still has "
                    f"{safe_text.number(count, 'test container')} that a killed command left there",
                    "remove what is left",
                    remedies.ctl(places, "doctor", "--fix"),
                    partial(_remove_canaries, places, access),
                )


def _remove_canaries(places: Places, access: Engine) -> None:
    with transaction_record.exclusive(places):
        access.remove_probes()
