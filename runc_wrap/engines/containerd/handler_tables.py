"""A handler's tables in containerd's CRI plugin, with the settings of the owner's own handler.

A handler inherits nothing by itself: SystemdCgroup, base_runtime_spec and the like are repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.engines import toml_text
from runc_wrap.engines.handler import ANNOTATIONS, Handler

if TYPE_CHECKING:
    from runc_wrap.engines.toml_text import Table

RUNTIME_TYPE = "io.containerd.runc.v2"
OLD_CRI, NEW_CRI = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
_NOT_INHERITED = frozenset(
    {"runtime_type", "runtime_path", "runtime_engine", "runtime_root", "options", "pod_annotations"}
)


def plugin_of(version: int) -> str:
    """Return the CRI plugin's key in a file of this version of the configuration."""
    return OLD_CRI if version == 2 else NEW_CRI  # noqa: PLR2004  # config version 2


def section_path(plugin: str) -> list[str]:
    """Return the path of the table with the handlers and the default one."""
    return ["plugins", plugin, "containerd"]


def tables(handler: Handler, section: Table, plugin: str) -> str:
    """Return the handler's tables; `section` is the one in force, without our handlers."""
    base = _base(section)
    path = [*section_path(plugin), "runtimes", handler.name]
    own: Table = {"runtime_type": RUNTIME_TYPE}
    own |= {"pod_annotations": _annotations(base.get("pod_annotations", []))}
    own |= inherited(base)
    options = {k: v for k, v in toml_text.lookup(base, ["options"]).items() if k != "BinaryName"}
    text = toml_text.table(path, own)
    return text + toml_text.table([*path, "options"], {"BinaryName": handler.path, **options})


def inherited(base: Table) -> Table:
    """Return the settings of a handler that ours repeats as they are, without its options."""
    return {k: v for k, v in base.items() if k not in _NOT_INHERITED and not isinstance(v, dict)}


def of_dump(document: Table) -> dict[str, str]:
    """Return {handler: BinaryName} of the configuration in force, of any version."""
    found: dict[str, str] = {}
    for plugin in (OLD_CRI, NEW_CRI):
        runtimes = toml_text.lookup(document, [*section_path(plugin), "runtimes"])
        for name in runtimes:
            binary = toml_text.lookup(runtimes, [name, "options"]).get("BinaryName")
            found[name] = str(binary or "")
    return found


def default_table(handler: Handler, plugin: str) -> str:
    """Return the table that makes the handler the default."""
    return toml_text.table(section_path(plugin), {"default_runtime_name": handler.name})


def title(handler: Handler) -> str:
    """Return the title of the handler's block."""
    return f"runc-wrap: handler {handler.name}"


def _annotations(owners: object) -> list[str]:
    kept = [str(each) for each in owners] if isinstance(owners, list) else []
    return [*ANNOTATIONS, *(each for each in kept if each not in ANNOTATIONS)]


def _base(section: Table) -> Table:
    """Return the owner's runc; if there is none, the default handler."""
    runtimes = toml_text.lookup(section, ["runtimes"])
    name = "runc" if "runc" in runtimes else str(section.get("default_runtime_name", "runc"))
    return toml_text.lookup(runtimes, [name])
