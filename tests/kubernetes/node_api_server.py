"""An API server with one node, as a program: tests/boxes runs it in the box, by the image's Python.

It is the unit tests' stand-in, over TLS as a pod asks for it. All that it knows is in a file, which
tests read; one that is started again goes on from there. Whoever imports this there has provided
the image's ssl before (runc_wrap.cluster.api_server).
"""

import json
import ssl
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.unit.cluster import api_stand_in
from tests.unit.cluster.api_stand_in import StandIn

PLACE = Path("/api")  # in its container
PORT = 6443
STATE, CERTIFICATE, KEY = "state.json", "tls.crt", "tls.key"


class Kept(StandIn):
    """Writes its node and Events after each request."""

    def serve(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        answer = super().serve(method, path, body)
        new = PLACE / f"{STATE}.new"
        new.write_text(json.dumps({"node": self.node, "events": self.events}))
        new.replace(PLACE / STATE)
        return answer


def main() -> None:
    """Serve until somebody ends it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PLACE / CERTIFICATE, PLACE / KEY)
    found = Kept(**json.loads((PLACE / STATE).read_text()))
    server = ThreadingHTTPServer(("0.0.0.0", PORT), api_stand_in.handler(found))  # noqa: S104 - the box's own network
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
