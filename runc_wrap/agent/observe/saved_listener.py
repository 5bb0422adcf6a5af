"""A listener's file, which outlives the service: whose it is, and what was found out about it.

PREFIX/var/agent/listeners/seccomp-N.json    {id, bundle, pid, metadata, root}, and if need be
{unread, own_filters}
"""

from __future__ import annotations

from runc_wrap.agent.service_log import warn
from runc_wrap.host import files
from runc_wrap.hotpath import config_file, json_codec
from runc_wrap.hotpath.errors import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runc_wrap.hotpath.ledger_file import Key

    Json = dict[str, Any]


def key(state: Json) -> Key | None:
    """Return the container's key in the evidence, None if it is unknown."""
    name, root = state.get("id"), state.get("root")
    return (root, name) if isinstance(name, str) and name and isinstance(root, str) else None


def read(directory: str, name: str) -> Json:
    """Return a listener's state from its file, {} if it cannot be read."""
    try:
        found = json_codec.loads(config_file.read(f"{directory}/{name}.json").text)
    except (Refusal, json_codec.Unreadable):
        return {}
    return found if isinstance(found, dict) else {}


def write(directory: str, name: str, state: Json) -> bool:
    """Write a listener's state to its file; return whether that worked."""
    plain = {
        key: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for key, value in state.items()
    }
    try:
        text = json_codec.dumps(plain)
        files.replace(f"{directory}/{name}.json", text, is_synced=False, writer="agent")
    except (OSError, json_codec.Unreadable):
        warn(f"the state of {name} could not be written.")
        return False
    return True
