"""Whether containerd lets pods write the annotations of its CRI plugin.

For a container, the plugin writes all of them last. For a sandbox it does not write all, so that
those from the pod's author stay. runc-wrap trusts none of these, but an OCI hook or an NRI plugin
may.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.doctor import remedies
from runc_wrap.doctor.remedies import Finding
from runc_wrap.engines import toml_text
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.containerd.loaded_files import NEW_CRI, OLD_CRI, section_path
from runc_wrap.engines.handler import ANNOTATIONS
from runc_wrap.engines.registration import registration_state

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


def find(places: Places) -> Iterator[Finding]:
    """Find our handlers whose patterns pass on annotations of containerd's CRI plugin."""
    for config in _configs(places):
        document = Containerd.at(config).dump() or {}
        for plugin in (OLD_CRI, NEW_CRI):
            runtimes = toml_text.lookup(document, [*section_path(plugin), "runtimes"])
            for name, handler in sorted(runtimes.items()):
                if isinstance(handler, dict) and _is_ours(handler, places):
                    yield from _of_handler(config, name, handler)


def _configs(places: Places) -> list[Path]:
    """Return containerd's usual configuration, and those with a registered handler."""
    states = registration_state.readable(places.engines)
    own = [each.config for each in states if each.engine == Containerd.names.name]
    return list(dict.fromkeys([Containerd.usual, *own]))


def _is_ours(handler: dict[str, Any], places: Places) -> bool:
    """Tell whether a handler calls the wrapper, directly or by a link."""
    binary = toml_text.lookup(handler, ["options"]).get("BinaryName")
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
        f"{config}: {where} have {pattern!r}, which also passes on annotations that containerd "
        f"itself writes ({key}): a pod can then choose their values for its sandbox",
        f"name what is needed instead ({', '.join(ANNOTATIONS)}) and restart containerd",
        remedies.edit(config, Containerd.at(config).reload_command()),
    )


def matches(pattern: str, key: str) -> bool:
    """Match like Go's path.Match, which containerd uses, a key without slashes; no escapes."""
    return fnmatch.fnmatchcase(key, pattern.replace("[^", "[!"))
