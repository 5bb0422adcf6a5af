"""OpenSSL for the installer, which only its image has: the release archive makes no TLS.

/installer/tls has Debian's ssl.py and _ssl, and the libraries that these need.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

DIRECTORY = Path("/installer/tls")
LIBRARIES = ("libzstd.so.1", "libcrypto.so.3", "libssl.so.3")  # each needs those before it


def provide() -> None:
    """See that `import ssl` finds a module that can make TLS. Raises OSError."""
    if not DIRECTORY.is_dir() or str(DIRECTORY) in sys.path:
        return  # an interpreter with an OpenSSL of its own, as a developer's
    if "ssl" in sys.modules:
        raise OSError("the archive's ssl was imported before the image's")
    for name in LIBRARIES:
        ctypes.CDLL(str(DIRECTORY / name), mode=ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(DIRECTORY))


def context(authority: Path) -> ssl.SSLContext:
    """Return a context that trusts this file alone; `provide` comes first. Raises OSError.

    Python 3.13 and newer ask for all that RFC 5280 wants of a certificate. Many clusters' authority
    has no key usage, or a certificate no key identifier, and everything else there accepts it.
    """
    import ssl  # noqa: PLC0415 - after `provide` it is the one that is wanted

    made = ssl.create_default_context(cafile=str(authority))
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made
