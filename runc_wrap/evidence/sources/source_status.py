"""Which of the agent's sources deliver: the agent writes a file that other programs read.

    var/evidence/sight.json    {version, pid, start, is_first, time, sources}

`sources` is {audit: "", processes: "why not"}, where "" means that it delivers; `is_first`: `pid`
is of the first namespace.

The agent removes the file when it ends. A killed agent's file is not trusted, because its process
has ended or, if that cannot be known, because the file is old.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

from runc_wrap.host import procfs
from runc_wrap.host.files import replace
from runc_wrap.hotpath import config_file, json_codec
from runc_wrap.hotpath.errors import Refusal

NAME = "sight.json"
EVERY = 600.0  # seconds after which the agent checks and writes again
_VERSION = 1
_OLD = 2 * EVERY + 60
_LONGEST = 1000  # characters
_UNREADABLE = (Refusal, json_codec.Unreadable, ValueError, TypeError, KeyError, AttributeError)
_IN_WORDS = {
    "audit": "receives none of the audit records that it asks the kernel for",
    "processes": "receives no news of processes, so it cannot attribute calls of short-lived ones",
}


def write(directory: str, sources: Mapping[str, str]) -> None:
    """Write which sources deliver. Raises OSError."""
    born = procfs.born(os.getpid())
    fields = {
        "version": _VERSION,
        "pid": os.getpid(),
        "start": born[0] if born else 0,
        "is_first": procfs.is_initial("pid"),
        "time": time.time(),
        "sources": dict(sources),
    }
    replace(f"{directory}/{NAME}", json_codec.dumps(fields), is_synced=False, writer="agent")


def remove(directory: str) -> None:
    """Remove the file."""
    config_file.remove(f"{directory}/{NAME}")


def read(directory: str | os.PathLike[str]) -> dict[str, str]:
    """Return {source: why it does not deliver, "" if it does} of the running agent.

    {} if no agent runs, if it has not checked yet, and for who may not read the file: it is root's.
    """
    try:
        fields = json_codec.loads(config_file.read(f"{os.fspath(directory)}/{NAME}").text)
        if fields["version"] != _VERSION or not _is_running(fields):
            return {}
        return {str(name): str(why)[:_LONGEST] for name, why in fields["sources"].items()}
    except _UNREADABLE:
        return {}


def _is_running(fields: dict[str, Any]) -> bool:
    if fields["is_first"] and procfs.is_initial("pid"):
        born = procfs.born(int(fields["pid"]))
        return bool(born and born[0] == int(fields["start"]))
    return bool(time.time() - float(fields["time"]) < _OLD)


def sentences(sources: Mapping[str, str]) -> dict[str, str]:
    """Return a sentence for each source that does not deliver."""
    return {
        name: f"the agent {_IN_WORDS.get(name, 'receives nothing from ' + name)}: {why}"
        for name, why in sources.items()
        if why
    }
