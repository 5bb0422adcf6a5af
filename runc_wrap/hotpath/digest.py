"""A block's digest: BLAKE2b, 256 bits, as hashlib.blake2b(data, digest_size=32) has it.

`hashlib` looks for OpenSSL and costs milliseconds; the module behind it does not.
"""

try:
    from _blake2 import (
        blake2b,
    )
except ImportError:  # an interpreter built without it
    from hashlib import blake2b


def digest(data: bytes) -> str:
    """Return the digest in hexadecimal."""
    text: str = blake2b(data, digest_size=32).hexdigest()
    return text
