"""The image of pods' sandboxes: each node that runs pods has it; another gets ours for a moment.

Without it, RunPodSandbox would pull it. Ours waits as the usual one does, so that a pod which takes
it meanwhile runs; its snapshot stays as long as that pod.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
import tomllib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runc_wrap.node import installed_programs
from runc_wrap.node.engines import containerd_config, toml_text
from runc_wrap.node.engines.canary import idle_image
from runc_wrap.node.engines.cri import cri_runtime
from runc_wrap.node.engines.cri.grpc_call import CallFailed
from runc_wrap.node.engines.handler import EngineError
from runc_wrap.node.engines.kinds import containerd_kind, crio_kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.node.engines.kinds.engine_kind import Installation

_SECONDS = 60.0
_CRIO_DEFAULT = re.compile(r'^#\s*pause_image = "([^"\n]{1,255})"$', re.MULTILINE)
_IMAGES = "io.containerd.cri.v1.images"  # the plugin that has it since configuration version 3
_NOTICED = 20.0  # seconds until CRI has noticed an image that another client imported
_PAUSE = 0.1


def name_of(document: dict[str, Any]) -> str:
    """Return the sandbox's image in a dump of containerd's configuration or of CRI-O's, or ""."""
    old = toml_text.lookup(document, ["plugins", containerd_config.OLD_CRI])
    new = toml_text.lookup(document, ["plugins", _IMAGES, "pinned_images"])
    crio = toml_text.lookup(document, ["crio", "image"])
    return str(old.get("sandbox_image") or new.get("sandbox") or crio.get("pause_image") or "")


@contextmanager
def lent_image(found: Installation, socket: Path) -> Iterator[str]:
    """See that the sandbox's image is there while the block runs; yield its name.

    Raises EngineError and CallFailed.
    """
    name = name_of(_document(found))
    if not name:
        raise EngineError(
            f"{found.engine} does not print which image the sandboxes of its pods have",
            "its name, since nothing is pulled",
            f"name the image in {found.config}",
        )
    if cri_runtime.has_image(socket, name):
        yield name
        return
    if found.engine != "containerd" or found.flavour:
        raise _missing(found, name, "it is not there")
    _import(found, socket, name)
    try:
        yield name
    finally:
        cri_runtime.remove_image(socket, name)


def remove_lent(found: Installation, socket: Path) -> None:
    """Remove ours where a killed command left it: pods would go on to take it. Raises CallFailed.

    It is known by its id: an image of its name that somebody pulled meanwhile has another one, and
    the sandboxes' image may have another name now. An engine that prints no configuration may
    answer at another `socket`, where nothing is ours.
    """
    if not _document(found):
        raise CallFailed(f"{found.engine} does not print its configuration, so where it answers")
    ours = idle_image.identity()
    if cri_runtime.image_id(socket, ours) == ours:
        cri_runtime.remove_image(socket, ours)


def _document(found: Installation) -> dict[str, Any]:
    if found.engine == "containerd":
        return containerd_kind.dump(found) or {}
    words = crio_kind.config_words(found.config)
    printed = installed_programs.run(str(found.binary), *words, seconds=_SECONDS).printed
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


def _import(found: Installation, socket: Path, name: str) -> None:
    with tempfile.NamedTemporaryFile(prefix="runc-wrap-image-", suffix=".tar") as file:
        file.write(idle_image.archive(name))
        file.flush()
        os.fsync(file.fileno())
        done = _ctr(socket, "images", "import", file.name)
    if not done.is_well:
        raise _missing(found, name, done.said)
    until = time.monotonic() + _NOTICED
    while not cri_runtime.has_image(socket, name):
        if time.monotonic() > until:
            raise _missing(found, name, "ours was imported, and CRI does not show it")
        time.sleep(_PAUSE)


def _ctr(socket: Path, *words: str) -> installed_programs.Ended:
    where = ("--address", str(socket), "--namespace", "k8s.io")
    return installed_programs.run("ctr", *where, *words, seconds=_SECONDS)


def _missing(found: Installation, name: str, why: str) -> EngineError:
    return EngineError(
        f"{found.engine} has no image {name} for pods' sandboxes: {why}",
        "that image, since nothing is pulled",
        f"`crictl pull {name}` first",
    )
