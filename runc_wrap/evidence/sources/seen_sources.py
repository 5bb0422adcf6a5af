"""Which of its sources the agent sees anything of, as it says in a file for other programs to read.

    var/evidence/sight.json    {version, pid, start, is_first, time, sources}

`sources` is {audit: "", processes: "why not"}; `is_first` whether `pid` is of the first namespace.

"" means that it sees. The file goes with the agent; of one that was killed it is not believed, as
its process is gone, or where that cannot be known, as it is old. The agent writes it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from runc_wrap.evidence.attribution import proc_connector
from runc_wrap.host import procfs
from runc_wrap.host.files import replace
from runc_wrap.hotpath import config_file, json_codec
from runc_wrap.hotpath.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "sight.json"
EVERY = 600.0  # seconds after which the agent looks again, and writes again
_VERSION = 1
_OLD = 2 * EVERY + 60
_LONGEST = 1000  # characters
_UNREADABLE = (Refusal, json_codec.Unreadable, ValueError, TypeError, KeyError, AttributeError)
_IN_WORDS = {
    "audit": "hears none of the audit records that it asks the kernel for",
    "processes": "is not told of processes, so that calls of those that end at once are nobody's",
}


def write(directory: str, sources: Mapping[str, str]) -> None:
    """Say which sources are seen. Raises OSError."""
    born = procfs.born(os.getpid())
    said = {
        "version": _VERSION,
        "pid": os.getpid(),
        "start": born[0] if born else 0,
        "is_first": proc_connector.is_initial("pid"),
        "time": time.time(),
        "sources": dict(sources),
    }
    text = json_codec.dumps(said)
    replace(f"{directory}/{NAME}", text, is_synced=False, writer="agent")


def remove(directory: str) -> None:
    """Say nothing any more."""
    try:
        os.unlink(f"{directory}/{NAME}")  # noqa: PTH108 - no pathlib
    except OSError:
        return


def read(directory: str | os.PathLike[str]) -> dict[str, str]:
    """Return why the agent that is there does not see a source, "" for those that it sees.

    {} where no agent is there, or it has not looked yet. Raises PermissionError.
    """
    path = f"{os.fspath(directory)}/{NAME}"
    if not os.path.lexists(path):
        return {}
    try:
        said = json_codec.loads(config_file.read(path).text)
        if said["version"] != _VERSION or not _is_there(said):
            return {}
        return {str(name): str(why)[:_LONGEST] for name, why in said["sources"].items()}
    except _UNREADABLE:
        return {}


def _is_there(said: dict[str, Any]) -> bool:
    if said["is_first"] and proc_connector.is_initial("pid"):
        born = procfs.born(int(said["pid"]))
        return bool(born and born[0] == int(said["start"]))
    return bool(time.time() - float(said["time"]) < _OLD)


def sentences(sources: Mapping[str, str]) -> dict[str, str]:
    """Return a sentence for each source that the agent does not see."""
    return {
        name: f"the agent {_IN_WORDS.get(name, 'does not see ' + name)}: {why}"
        for name, why in sources.items()
        if why
    }
