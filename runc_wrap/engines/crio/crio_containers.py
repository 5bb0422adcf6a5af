"""CRI-O's pods that need a handler's name.

Of those that our launcher started the ledger says it, of all its config.json; each alone may not:
the ledger may be damaged, and a pod's own annotation may hide the name in its files. Sources: cri-o
internal/oci/oci.go (RuntimeImpl), internal/annotations and server/sandbox_run_linux.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.engines import ledger_containers
from runc_wrap.engines.crio import crio_config
from runc_wrap.engines.dependent import Dependent, Unknown, object_in
from runc_wrap.engines.handler import EngineError
from runc_wrap.host import engine_names
from runc_wrap.hotpath.identity import UNKNOWN
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = engine_names.CRIO.name
_HANDLER = "io.kubernetes.cri-o.RuntimeHandler"
_SANDBOX = "io.kubernetes.cri-o.SandboxID"
_KNOWN = "CRI-O's pods are known by their files"


def needing(config: Path, path: Path) -> Iterator[Dependent]:
    """Yield the pods that CRI-O has, running or not. Raises Unknown."""
    try:
        started = [*ledger_containers.of_handler(Places(path.parent.parent), path.name)]
    except OSError as error:
        yield from _by_files(config, path)
        raise Unknown(f"{_KNOWN} and by the ledger: {error}") from None
    yield from (one for one in started if one.engine in (_NAME, UNKNOWN))
    yield from _by_files(config, path)


def _by_files(config: Path, path: Path) -> Iterator[Dependent]:
    """Yield the pods by the config.json that CRI-O keeps of each."""
    try:
        place = crio_config.storage(config)
    except (EngineError, OSError) as error:
        raise Unknown(f"{_KNOWN}, and where they are is not known: {error}") from None
    doubt = None  # of one file, which its pod's author may have made: the others are read, too
    for file in place.glob("*-containers/*/userdata/config.json"):
        try:
            written = object_in(file, _KNOWN).get("annotations")
        except Unknown as unknown:
            doubt = unknown
            continue
        notes = written if isinstance(written, dict) else {}
        if notes.get(_HANDLER) == path.name:
            yield Dependent(_NAME, str(notes.get(_SANDBOX) or file.parent.parent.name))
    if doubt:
        raise doubt
