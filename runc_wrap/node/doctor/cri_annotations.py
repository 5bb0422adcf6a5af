"""Whether containerd lets pods write the annotations that are its CRI plugin's own.

Of a container it writes them last, of a sandbox not all of them: what a pod's author wrote there
then stands. We take none of those for the engine's word, but an OCI hook or an NRI plugin may.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.node.doctor.check_finding import Finding
from runc_wrap.node.engines import containerd_config, engine_query, registration, toml_text
from runc_wrap.node.engines.handler import ANNOTATIONS, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "passed-on"
# written by containerd (internal/cri/annotations)
_OF_CRI = tuple(
    f"io.kubernetes.cri.{name}"
    for name in (
        "container-type sandbox-id sandbox-name sandbox-namespace sandbox-uid container-name "
        "image-name sandbox-log-directory podsandbox.image-name"
    ).split()
)
_KINDS = ("pod_annotations", "container_annotations")
_TOKEN = re.compile(r"\\(.)|\[(\^?)((?:\\.|[^\]\\])+)\]|(.)", re.DOTALL)


def find(places: Places) -> Iterator[Finding]:
    """Find handlers of ours whose patterns pass on what containerd's CRI plugin writes itself."""
    for config in _configs(places):
        document = engine_query.dump(config) or {}
        for plugin in (containerd_config.OLD_CRI, containerd_config.NEW_CRI):
            runtimes = toml_text.lookup(document, ["plugins", plugin, "containerd", "runtimes"])
            for name, handler in sorted(runtimes.items()):
                if isinstance(handler, dict) and _is_ours(handler, places):
                    yield from _of_handler(config, name, handler)


def _configs(places: Places) -> list[Path]:
    """Return containerd's usual configuration, and those that a handler was registered in."""
    try:
        states = registration.states(places.engines)
    except EngineError:  # `engine list` says so
        states = []
    own = [Path(each["config"]) for each in states if each.get("engine") == "containerd"]
    return list(dict.fromkeys([containerd_config.CONFIG, *own]))


def _is_ours(handler: dict[str, Any], places: Places) -> bool:
    """Tell whether a handler calls the wrapper, by whatever link."""
    options = handler.get("options")
    binary = options.get("BinaryName") if isinstance(options, dict) else None
    return bool(binary) and Path(str(binary)).resolve() == places.wrapper.resolve()


def _of_handler(config: Path, name: str, handler: dict[str, Any]) -> Iterator[Finding]:
    for kind in _KINDS:
        patterns = handler.get(kind)
        for pattern in patterns if isinstance(patterns, list) else []:
            passed = [key for key in _OF_CRI if matches(str(pattern), key)]
            if passed:
                yield _finding(config, f"{kind} of its handler {name}", str(pattern), passed[0])


def _finding(config: Path, where: str, pattern: str, key: str) -> Finding:
    return Finding(
        NAME,
        "warning",
        f"{config}: {where} have {pattern!r}, which also passes on what containerd writes itself "
        f"({key}): of its sandbox a pod can then write it as it likes",
        f"name what is needed instead ({', '.join(ANNOTATIONS)}) and restart containerd",
    )


def matches(pattern: str, key: str) -> bool:
    """Match as Go's path.Match does, by which containerd selects: * and ? leave out slashes."""
    try:
        return re.fullmatch(_TOKEN.sub(_translated, pattern), key) is not None
    except re.error:  # a range that runs backwards; Go takes no key for it
        return False


def _translated(token: re.Match[str]) -> str:
    escaped, negated, members, plain = token.groups()
    if members:
        return f"[{negated}{_TOKEN.sub(_member, members)}]"
    if escaped:
        return re.escape(escaped)
    return {"*": "[^/]*", "?": "[^/]", "[": "(?!)"}.get(plain, re.escape(plain))


def _member(token: re.Match[str]) -> str:
    escaped, _, _, plain = token.groups()
    return "-" if plain == "-" else re.escape(escaped or plain or token.group())
