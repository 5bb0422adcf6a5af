"""The image of pods' sandboxes, without which RunPodSandbox would pull it: it must be there."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from runc_wrap.engines import containerd_config, toml_text
from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.kinds import containerd_kind, crio_kind
from runc_wrap.host import program

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.engines.kinds.engine_kind import Installation

_SECONDS = 60.0
_CRIO_DEFAULT = re.compile(r'^#\s*pause_image = "([^"\n]{1,255})"$', re.MULTILINE)
_IMAGES = "io.containerd.cri.v1.images"  # the plugin that has it since configuration version 3


def name_of(document: dict[str, Any]) -> str:
    """Return the sandbox's image in a dump of containerd's configuration or of CRI-O's, or ""."""
    old = toml_text.lookup(document, ["plugins", containerd_config.OLD_CRI])
    new = toml_text.lookup(document, ["plugins", _IMAGES, "pinned_images"])
    crio = toml_text.lookup(document, ["crio", "image"])
    return str(old.get("sandbox_image") or new.get("sandbox") or crio.get("pause_image") or "")


def required(found: Installation, socket: Path) -> str:
    """Return its name. Raises EngineError if the engine has it not, and CallFailed."""
    name = name_of(_document(found))
    if not name:
        raise EngineError(
            f"{found.engine} does not print which image the sandboxes of its pods have",
            "its name, since nothing is pulled",
            f"name the image in {found.config}",
        )
    if not cri_runtime.has_image(socket, name):
        raise EngineError(
            f"{found.engine} has no image {name} for pods' sandboxes",
            "that image, since nothing is pulled",
            f"`crictl pull {name}`, or with containerd alone "
            f"`ctr --address {socket} --namespace k8s.io images pull {name}`",
        )
    return name


def _document(found: Installation) -> dict[str, Any]:
    if found.engine == "containerd":
        return containerd_kind.dump(found) or {}
    words = crio_kind.config_words(found.config)
    printed = program.run(str(found.binary), *words, seconds=_SECONDS).printed
    return crio_document(printed)


def crio_document(printed: str) -> dict[str, Any]:
    """Return what `crio config` prints, with the image, a default of which is in a comment."""
    try:
        document = tomllib.loads(printed)
    except ValueError:
        return {}
    default = _CRIO_DEFAULT.search(printed)
    if default and not name_of(document):
        document.setdefault("crio", {}).setdefault("image", {})["pause_image"] = default[1]
    return document
