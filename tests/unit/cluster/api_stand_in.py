"""An API server on loopback, with one node: it merges patches as the real one does."""

import contextlib
import copy
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from runc_wrap.cluster.api_server import ApiServer

NODE = "/api/v1/nodes/n1"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
MERGE = "application/merge-patch+json"
TOKEN = "of the pod"  # noqa: S105 - nobody else's


@dataclass
class StandIn:
    """`answer`, if set, is sent as it is to every request; `refuses` is a status."""

    node: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)  # of the node, as they came
    answer: bytes | None = None
    refuses: int = 0
    refuses_change: bool = False  # of the node
    invalid: str = ""  # the reason of an Event that is not taken
    port: int = 0

    def api(self, directory: Path) -> ApiServer:
        (directory / "token").write_text(f"{TOKEN}\n")

        def connect() -> HTTPConnection:
            return HTTPConnection("127.0.0.1", self.port, timeout=10)

        return ApiServer(connect, directory / "token")

    def serve(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        self.requests.append((method, path))
        if self.refuses:
            return self.refuses, {"kind": "Status", "message": "no\x1b[31m"}
        if (method, path) == ("GET", NODE):
            return 200, self.node
        if (method, path) == ("PATCH", NODE) and self.refuses_change:
            return 503, {"message": "later"}
        if (method, path) == ("PATCH", NODE):
            change = json.loads(body)
            version = change.get("metadata", {}).get("resourceVersion")
            if version not in (None, self.node["metadata"]["resourceVersion"]):
                return 409, {"message": "the object has been modified"}
            self.changes.append(change)
            self.node = merged(self.node, change)
            return 200, self.node
        if (method, path) == ("POST", EVENTS):
            if self.invalid and json.loads(body)["reason"] == self.invalid:
                return 422, {"message": "note: Invalid value"}
            self.events.append(json.loads(body))
            return 201, self.events[-1]
        return 404, {"message": "not found"}


def merged(target: Any, patch: Any) -> Any:
    """Return an object with a change merged in: JSON Merge Patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    found = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def handler(found: StandIn) -> type[BaseHTTPRequestHandler]:
    """Return what answers a request, for a server of http.server."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if found.answer is not None:
                with contextlib.suppress(OSError):
                    self.wfile.write(found.answer)
                return
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status, document = 401, {"message": "Unauthorized"}
            elif self.command == "PATCH" and self.headers["Content-Type"] != MERGE:
                status, document = 415, {"message": "Unsupported Media Type"}
            else:
                status, document = found.serve(self.command, self.path, body)
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PATCH = do_POST = _do  # noqa: N815 - http.server's names

    return Handler


@contextlib.contextmanager
def running(node: dict[str, Any], tls: ssl.SSLContext | None = None) -> Iterator[StandIn]:
    found = StandIn(node)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(found))
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
