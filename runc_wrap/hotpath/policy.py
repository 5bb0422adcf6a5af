"""The compiled policy: what `runc-wrapctl apply` wrote, the only policy that a create reads.

    DIR/var/current/policy.json           {"version", "runtime", "on_error", "default", ...}
    DIR/var/current/profiles/*.json       a compiled profile each, as `hotpath.profile` has it

Its text comes from us alone, but a file can be missing or damaged.
"""

from runc_wrap.hotpath import bundle, codec
from runc_wrap.hotpath.decide import LOCALHOST
from runc_wrap.hotpath.failure import Refusal, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

VERSION = 2  # of the compiled form; another one is another release's
_LONGEST_NAME = 200  # with all its slashes quoted still a file name (NAME_MAX is 255 bytes)
_AGAIN = "Run `runc-wrapctl apply` to compile the policy again."


def load(prefix: str) -> "Json":
    """Read DIR/var/current/policy.json. Raises Refusal."""
    policy = _object(f"{prefix}/var/current/policy.json", "the compiled policy")
    if policy.get("version") != VERSION:
        raise Refusal(
            f"the compiled policy has version {quoted(policy.get('version'))}, this release reads "
            f"{VERSION}. {_AGAIN}"
        )
    return policy


def load_profile(prefix: str, name: str, mode: str) -> "Json":
    """Read the profile of this name as compiled for this mode. Raises Refusal.

    A name from an annotation is hostile: it may only lead to a file beneath the profiles.
    """
    if name.startswith(LOCALHOST) and not _is_plain(name):
        raise Refusal(
            f"the profile {quoted(name)} is not a path beneath the profile directory: "
            'it may have no "..", no empty part and no control character.'
        )
    return _object(
        f"{prefix}/var/current/profiles/{file_name(name, mode)}", f"the profile {quoted(name)}"
    )


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


def _object(path: str, what: str) -> "Json":
    try:
        found = codec.loads(bundle.read(path).text)
    except (Refusal, codec.Unreadable) as error:
        raise Refusal(f"{what} is not there or cannot be read ({error}). {_AGAIN}") from None
    if not isinstance(found, dict):
        raise Refusal(f"{what} is damaged: it is not an object. {_AGAIN}")
    return found
