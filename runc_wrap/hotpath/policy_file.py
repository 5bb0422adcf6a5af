"""Reads the compiled policy that `runc-wrapctl apply` wrote, the only policy that a create reads.

    DIR/var/policy.2/current -> N           2 is the compiled form's version: during an upgrade the
    DIR/var/policy.2/N/policy.json          old release still finds its own form
    DIR/var/policy.2/N/profiles/*.json      a compiled profile each, in `hotpath.resolve`'s form

Only runc-wrap writes these files, but one can be missing or damaged. A create reads each file once;
the agent caches what it read, without changing it, until a file's version changes.
"""

import posix

from runc_wrap.hotpath import config_file, json_codec
from runc_wrap.hotpath.annotations import LOCALHOST
from runc_wrap.hotpath.errors import Refusal, because, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runc_wrap.hotpath.compiled_policy import CompiledPolicy, CompiledProfile

VERSION = 2  # of the compiled form
_KEYS = frozenset(
    "engine on_error default privileged runtime_default opt_out rules overlay".split()
)
_LONGEST_NAME = 200  # still a file name with its slashes quoted (NAME_MAX is 255 bytes)
AGAIN = "Run `runc-wrapctl apply` to compile the policy again."


def load(prefix: str, known: "CompiledPolicy | None" = None) -> "CompiledPolicy":
    """Read the compiled policy in force, and add its "directory". Raises Refusal.

    The link is read once for each create: `apply` may switch it at any moment. `known` was loaded
    before: it is returned if it is still current, with the profiles cached since in "loaded";
    "seen" is its version.
    """
    policies = f"{prefix}/var/policy.{VERSION}"
    try:
        directory = f"{policies}/{posix.readlink(f'{policies}/current')}"
    except OSError as error:
        raise Refusal(f"there is no compiled policy: {because(error)}. {AGAIN}") from None
    path = f"{directory}/policy.json"
    version = config_file.version(path)
    if known and known["directory"] == directory and version and known["seen"] == version:
        return known
    policy: CompiledPolicy = _object(path, "the compiled policy", _KEYS)
    policy["directory"], policy["seen"], policy["loaded"] = directory, version, {}
    return policy


def load_profile(policy: "CompiledPolicy", name: str, mode: str) -> "CompiledProfile":
    """Read the profile of this name as compiled for this mode. Raises Refusal.

    A name from an annotation is hostile: it may only lead to a file in the profile directory.
    """
    if name.startswith(LOCALHOST) and not _is_plain(name):
        raise Refusal(
            f"the profile {quoted(name)} is not a path within the profile directory: "
            'it may have no "..", no empty part and no control character.'
        )
    path = f"{policy['directory']}/profiles/{file_name(name, mode)}"
    what = f"the profile {quoted(name)}"
    version = config_file.version(path)
    if not version and not name.startswith(LOCALHOST):
        raise Refusal(f"the compiled form of {what} is missing. {AGAIN}")
    if not version:
        raise Refusal(
            f"{what} does not exist on this node. In a cluster localhost/<file> is a key of the "
            "ConfigMap runc-wrap-profiles; on a node by itself put it into runc-wrap's "
            "etc/profiles and run `runc-wrapctl apply`. `runc-wrapctl profile list` shows all."
        )
    before = policy["loaded"].get(path)
    if before and before[0] == version:
        return before[1]
    found: CompiledProfile = _object(path, what, frozenset({"block", "rules"}))
    policy["loaded"][path] = version, found
    return found


def file_name(name: str, mode: str) -> str:
    """Return the compiled profile's file name: one component, so that it leads nowhere else."""
    return f"{name.replace('%', '%25').replace('/', '%2F')}+{mode}.json"


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return (
        len(name) <= _LONGEST_NAME
        and name.isprintable()
        and not any(part in ("", ".", "..") for part in parts)
    )


def _object(path: str, what: str, keys: "frozenset[str]") -> "Any":
    try:
        found = json_codec.loads(config_file.read(path).text)
    except (Refusal, json_codec.Unreadable) as error:
        raise Refusal(f"{what} is missing or cannot be read ({error}). {AGAIN}") from None
    if not isinstance(found, dict) or not keys <= found.keys():
        raise Refusal(f"{what} is damaged. {AGAIN}")
    return found
