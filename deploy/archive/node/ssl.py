"""Stands in for ssl, so that the archive has no OpenSSL: runc-wrap makes no encrypted connection.

The standard library names these where it defines what nothing here calls.
"""

from typing import NoReturn

PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER = 16, 17


class SSLError(OSError):
    """Is never raised; nor are those below."""


class SSLWantReadError(SSLError):
    """See SSLError."""


class SSLSyscallError(SSLError):
    """See SSLError."""


class TLSVersion:
    """Only its name is used."""


class SSLContext:
    """Cannot be made."""

    def __init__(self, *_: object, **__: object) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError("runc-wrap's own Python has no OpenSSL, so it makes no TLS")
