"""The Kubernetes API server, as a pod reaches it: by the token and the authority in its files.

Every request has a connection of its own, a bound on its whole time and on its answer, and no
retry: the caller comes again. The token is read anew, because the kubelet replaces it. http.client
is imported when it is needed: it takes the ssl that it then finds, which has to be the image's.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text
from runc_wrap.failure import Failure
from runc_wrap.host import files

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Iterator, Mapping

    Json = dict[str, Any]
    import ssl

FILES = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MERGE, PLAIN = "application/merge-patch+json", "application/json"
_SECONDS = 10.0  # for each wait
_LONGEST = 30.0  # for one request, from the connection to the last byte of its answer
_AGAIN = 1.0  # seconds until the next alarm, as socket.create_connection drops an address' error
_LARGEST = 8 << 20  # bytes: a node lists up to 50 images and all its volumes
_LARGEST_TOKEN = 64 << 10
_SUCCESS = range(200, 300)
CONFLICT = 409


class Unreachable(Failure):
    """The API server gave no usable answer; it is asked again later."""


class Refused(Failure):
    """The API server's answer is no; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class ApiServer:
    """One API server. `connect` makes a connection; `longest`: the seconds of a request."""

    connect: Callable[[], http.client.HTTPConnection]
    token: Path
    longest: float = _LONGEST

    def request(self, method: str, path: str, body: Json | None = None) -> Json:
        """GET an object, POST a new one, or merge a change into one by PATCH; return it.

        Raises Unreachable and Refused.
        """
        from http.client import HTTPException  # noqa: PLC0415 - see above

        try:
            with _within(self.longest), contextlib.closing(self.connect()) as connection:
                token = files.read(self.token, _LARGEST_TOKEN, follows=True).decode("ascii")
                headers = {
                    "Authorization": f"Bearer {token.strip()}",
                    "Accept": PLAIN,
                    "Content-Type": MERGE if method == "PATCH" else PLAIN,
                    "User-Agent": "runc-wrap-installer",
                }
                data = None if body is None else json.dumps(body).encode()
                connection.request(method, path, data, headers)
                status, answer = _answer(connection)
        except (OSError, HTTPException, ValueError) as error:
            said = safe_text.name(str(error) or type(error).__name__, 300)
            raise Unreachable(f"the API server does not answer: {said}") from error
        return _object(status, answer)


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after this time, whatever it waits for then; main thread.

    A time-out of the socket would not: each byte of the handshake or of a header begins it anew.
    """

    def end(*_: object) -> None:
        raise TimeoutError("its answer takes too long")

    former = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _answer(connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    """Return status and body. Raises OSError, HTTPException and ValueError."""
    with contextlib.closing(connection.getresponse()) as response:
        body = response.read(_LARGEST + 1)
        if len(body) > _LARGEST:
            raise ValueError(f"its answer is larger than {_LARGEST} bytes")
        if response.length:
            raise ValueError(f"its answer lacks {response.length} bytes")
        return response.status, body


def _object(status: int, answer: bytes) -> Json:
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        found = None
    if status in _SUCCESS and isinstance(found, dict):
        return found
    message = found.get("message") if isinstance(found, dict) else None
    said = safe_text.name(message, 300) if message else "no reason that could be read"
    if status in _SUCCESS or status >= 500 or status == 429:  # noqa: PLR2004 - HTTP's own numbers
        raise Unreachable(f"the API server's answer ({status}) cannot be used: {said}")
    raise Refused(status, f"the API server refuses ({status}): {said}")


def in_pod(environment: Mapping[str, str], directory: Path = FILES) -> ApiServer:
    """Return the API server of the pod that this runs in. Raises Unreachable."""
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port.isdecimal():
        raise Unreachable("this is not run in a pod: KUBERNETES_SERVICE_HOST and _PORT are not set")

    provide_tls()
    from http.client import HTTPSConnection  # noqa: PLC0415 - see above

    def connect() -> http.client.HTTPConnection:
        trusted = tls_context(directory / "ca.crt")
        return HTTPSConnection(host, int(port), timeout=_SECONDS, context=trusted)

    return ApiServer(connect, directory / "token")


TLS = Path("/installer/tls")
TLS_LIBRARIES = ("libzstd.so.1", "libcrypto.so.3", "libssl.so.3")  # each needs those before it


def provide_tls() -> None:
    """See that `import ssl` finds a module that can make TLS. Raises OSError."""
    if not TLS.is_dir() or str(TLS) in sys.path:
        return  # an interpreter with an OpenSSL of its own, as a developer's
    if "ssl" in sys.modules:
        raise OSError("the archive's ssl was imported before the image's")
    for name in TLS_LIBRARIES:
        ctypes.CDLL(str(TLS / name), mode=ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(TLS))


def tls_context(authority: Path) -> ssl.SSLContext:
    """Return a tls_context that trusts this file alone; `provide_tls` comes first. Raises OSError.

    Python 3.13 and newer ask for all that RFC 5280 wants of a certificate. Many clusters' authority
    has no key usage, or a certificate no key identifier, and everything else there accepts it.
    """
    import ssl  # noqa: PLC0415 - after `provide_tls` it is the one that is wanted

    made = ssl.create_default_context(cafile=str(authority))
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made
