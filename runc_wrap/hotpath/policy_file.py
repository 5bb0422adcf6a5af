"""The compiled policy: what `runc-wrapctl apply` wrote, the only policy that a create reads.

    DIR/var/policy.2/current -> N           the number is the compiled form's version: while a new
    DIR/var/policy.2/N/policy.json          release is put in place, the old one still finds its own
    DIR/var/policy.2/N/profiles/*.json      a compiled profile each, as `hotpath.resolve` has it

Its text comes from us alone, but a file can be missing or damaged. A create reads each file once;
the agent keeps what it read, and changes nothing in it, until a file's version is another.
"""

import posix

from runc_wrap.hotpath import config_file, json_codec
from runc_wrap.hotpath.decision import LOCALHOST
from runc_wrap.hotpath.errors import Refusal, because, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

VERSION = 2  # of the compiled form
_KEYS = frozenset(
    {
        "engine",
        "on_error",
        "default",
        "privileged",
        "runtime_default",
        "opt_out",
        "rules",
        "overlay",
    }
)
_LONGEST_NAME = 200  # with all its slashes quoted still a file name (NAME_MAX is 255 bytes)
_AGAIN = "Run `runc-wrapctl apply` to compile the policy again."


def load(prefix: str, known: "Json | None" = None) -> "Json":
    """Read the compiled policy in force; "directory" is added, where it lies. Raises Refusal.

    The link is read once for each create: `apply` may switch it at any moment. `known` is what was
    loaded before: it is returned if it is still what would be read, and holds what was read of
    profiles since ("loaded"); "seen" is its version.
    """
    policies = f"{prefix}/var/policy.{VERSION}"
    try:
        directory = f"{policies}/{posix.readlink(f'{policies}/current')}"
    except OSError as error:
        raise Refusal(f"there is no compiled policy: {because(error)}. {_AGAIN}") from None
    path = f"{directory}/policy.json"
    version = config_file.version(path)
    if known and known["directory"] == directory and version and known["seen"] == version:
        return known
    policy = _object(path, "the compiled policy", _KEYS)
    policy.update(directory=directory, seen=version, loaded={})
    return policy


def load_profile(policy: "Json", name: str, mode: str) -> "Json":
    """Read the profile of this name as compiled for this mode. Raises Refusal.

    A name from an annotation is hostile: it may only lead to a file beneath the profiles.
    """
    if name.startswith(LOCALHOST) and not _is_plain(name):
        raise Refusal(
            f"the profile {quoted(name)} is not a path beneath the profile directory: "
            'it may have no "..", no empty part and no control character.'
        )
    path = f"{policy['directory']}/profiles/{file_name(name, mode)}"
    what = f"the profile {quoted(name)}"
    version = config_file.version(path)
    if not version:
        raise Refusal(
            f"{what} is not there. A localhost/<file> lies beneath runc-wrap's etc/profiles and is "
            "found by `runc-wrapctl apply`; `runc-wrapctl profile list` shows all."
        )
    before: tuple[object, Json] | None = policy["loaded"].get(path)
    if before and before[0] == version:
        return before[1]
    found = _object(path, what, frozenset({"block", "rules"}))
    policy["loaded"][path] = version, found
    return found


def file_name(name: str, mode: str) -> str:
    """Return the compiled profile's file name: one component, so that no name leads elsewhere."""
    return f"{name.replace('%', '%25').replace('/', '%2F')}+{mode}.json"


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return (
        len(name) <= _LONGEST_NAME
        and name.isprintable()
        and not any(part in ("", ".", "..") for part in parts)
    )


def _object(path: str, what: str, keys: "frozenset[str]") -> "Json":
    try:
        found = json_codec.loads(config_file.read(path).text)
    except (Refusal, json_codec.Unreadable) as error:
        raise Refusal(f"{what} is not there or cannot be read ({error}). {_AGAIN}") from None
    if not isinstance(found, dict) or not keys <= found.keys():
        raise Refusal(f"{what} is damaged. {_AGAIN}")
    return found
