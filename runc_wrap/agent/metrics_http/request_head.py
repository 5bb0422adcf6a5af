"""Parses the head of a scrape's request: GET /metrics by RFC 9112.

A request that cannot be served gets a status and a sentence, and nothing is started for it. Host is
compared where a browser could be the client: any site may have its name resolve to 127.0.0.1 (DNS
rebinding), and Host is then that name.
"""

from __future__ import annotations

LARGEST = 8192  # bytes of the request line and the headers together
OPENMETRICS = b"application/openmetrics-text"
_METRICS = b"/metrics"
_ENDS = (b"\r\n\r\n", b"\n\n")
_PARTS = 3  # method, target, version

WANTED = (200, "OK", "")
_NO_HTTP = (400, "Bad Request", "no HTTP/1.x request; wanted: GET /metrics HTTP/1.1")
_NO_HOST = (400, "Bad Request", "HTTP/1.1 requires exactly one Host header")
_METHOD = (405, "Method Not Allowed", "only GET is answered")
_PATH = (404, "Not Found", "only /metrics is served")
TOO_LARGE = (431, "Request Header Fields Too Large", f"the head is larger than {LARGEST} bytes")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    Status = tuple[int, str, str]  # a code, its phrase, and a sentence for the client


class Head:
    """A parsed head: `status` is WANTED if it can be served, else the error to answer with."""

    __slots__ = ("is_head", "status", "wants_openmetrics")

    def __init__(self, status: Status, headers: dict[bytes, list[bytes]], method: bytes) -> None:
        self.status = status
        self.is_head = method == b"HEAD"
        self.wants_openmetrics = any(OPENMETRICS in one for one in headers.get(b"accept", ()))


def is_whole(text: bytes) -> bool:
    """Return whether the head is complete or too large."""
    return len(text) > LARGEST or any(end in text for end in _ENDS)


def parsed(text: bytes, hosts: Collection[bytes]) -> Head:
    """Return a parsed complete head; `hosts` are the values that Host may have, () for any."""
    if len(text) > LARGEST:
        return Head(TOO_LARGE, {}, b"")
    lines = text.replace(b"\r\n", b"\n").partition(b"\n\n")[0].split(b"\n")
    words = lines[0].split(b" ")
    if len(words) != _PARTS or words[2] not in (b"HTTP/1.0", b"HTTP/1.1"):
        return Head(_NO_HTTP, {}, b"")
    headers: dict[bytes, list[bytes]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        headers.setdefault(name.lower(), []).append(value.strip())
    return Head(_status(words, headers.get(b"host", []), hosts), headers, words[0])


def _status(words: list[bytes], given: list[bytes], hosts: Collection[bytes]) -> Status:
    method, target, version = words
    if hosts and len(given) != 1 and (given or version == b"HTTP/1.1"):
        return _NO_HOST
    if hosts and given and given[0].lower() not in hosts:
        names = b", ".join(sorted(hosts)).decode()
        return (421, "Misdirected Request", f"Host is none of {names}")
    if method != b"GET":
        return _METHOD
    return WANTED if target.partition(b"?")[0] == _METRICS else _PATH


def answer(status: Status, *, is_head: bool = False) -> bytes:
    """Return a complete answer that says why there are no metrics."""
    code, phrase, sentence = status
    body = f"{sentence or phrase}\n".encode()
    allowed = b"Allow: GET\r\n" if code == _METHOD[0] else b""
    top = f"HTTP/1.1 {code} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n".encode()
    return top + allowed + _ending(len(body)) + (b"" if is_head else body)


def metrics(content_type: bytes, size: int) -> bytes:
    """Return the head of an answer with so many bytes of metrics."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: " + content_type + b"\r\n" + _ending(size)


def _ending(size: int) -> bytes:
    return b"Content-Length: %d\r\nConnection: close\r\n\r\n" % size
