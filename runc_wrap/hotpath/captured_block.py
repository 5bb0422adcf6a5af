"""Records the seccomp block of a container that `runc-wrapctl profile capture` asked an engine for.

Such a container has the environment variable of MARK with a token. What proves the request is the
file PREFIX/var/capture/TOKEN, which only root can have made: a container that merely has the
variable is created like any other. The record goes into that file, and nothing is started.
"""

import posix

from runc_wrap.hotpath import config_file, create_facts, json_ambiguity, json_codec
from runc_wrap.hotpath.errors import Captured, Refusal, because

TOKEN_LENGTH = 32  # hexadecimal digits
_DIGITS = frozenset(b"0123456789abcdef")


def is_asked(prefix: str, text: bytes, found: int) -> bool:
    """Return whether root asked for the block of a config, whose MARK ends at `found`."""
    path = _request(prefix, text, found)
    return bool(path) and config_file.exists(path)


def take(prefix: str, text: bytes, found: int) -> None:
    """Record the block of a config, whose MARK ends at `found`, if root asked for it.

    The record is {"bounding": [capability], "seccomp": the block or null}. Raises Captured if it
    is made, Refusal if it cannot be.
    """
    path = _request(prefix, text, found)
    if not path:
        return
    try:
        descriptor = posix.open(path, posix.O_WRONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK)
    except OSError:  # nobody asked
        return
    try:
        config_file.write_whole(descriptor, _record(text))
    except OSError as error:
        raise Refusal(f"the captured profile cannot be written: {because(error)}.") from None
    finally:
        posix.close(descriptor)
    raise Captured(
        "the profile of this container was captured for `runc-wrapctl profile capture`, "
        "which starts no process; there is nothing to do."
    )


def _request(prefix: str, text: bytes, found: int) -> str:
    """Return the path that the request of a config has if there is one, "" if it has no token."""
    token = text[found : found + TOKEN_LENGTH]
    if len(token) != TOKEN_LENGTH or not _DIGITS.issuperset(token):
        return ""
    return f"{prefix}/var/capture/{token.decode()}"


def _record(text: bytes) -> bytes:
    config = json_ambiguity.parsed(text)
    bounding = sorted(create_facts.bounding(config))
    return json_codec.dumps({"bounding": bounding, "seccomp": create_facts.seccomp_of(config)})
