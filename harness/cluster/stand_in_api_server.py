"""A stand-in for the API server: lists nodes and pods, and answers exec over a WebSocket.

Only what kubectl asks for is there: discovery, two lists, a pod, and exec by v5.channel.k8s.io
(k8s.io/apimachinery pkg/util/remotecommand: channel 1 is stdout, 2 stderr, 3 the status). It checks
no credentials; it notes each request, so that a test can compare them with what a role allows.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
_FRAME = 32 << 10  # bytes of a message, as of a real API server's
_RESOURCES = [
    {"name": "nodes", "kind": "Node", "namespaced": False, "verbs": ["get", "list"]},
    {"name": "configmaps", "kind": "ConfigMap", "namespaced": True, "verbs": ["get"]},
    {"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get", "list"]},
]
_CONTAINERS = ("metrics", "installer")  # with the component `metrics`; kubectl would take the first
_SUCCESS = {"metadata": {}, "status": "Success"}
Json = dict[str, Any]


class Cluster:
    """What the server knows: an answer for each node, and each request that came."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.labels: dict[str, Json] = {}
        self.without_pod: set[str] = set()  # nodes on which the installer has never been
        self.config_maps: dict[str, Json] = {}  # their data
        self.statuses: dict[str, Json] = {}  # by kind: what else each object's status has
        self.requests: list[tuple[str, str]] = []  # verb and resource
        self.commands: list[list[str]] = []
        self.containers: list[str] = []  # in which the commands ran
        self.given: dict[str, bytes] = {}  # the first line of stdin, by node
        self.url = ""
        self.path = ""  # before all paths, as a gateway in front of several clusters has one

    def kubeconfig(self, path: Path) -> Path:
        """Write the file that leads here."""
        named = {"clusters": [{"name": "c", "cluster": {"server": self.url + self.path}}]}
        contexts = [{"name": "c", "context": {"cluster": "c", "user": "c"}}]
        rest = {"contexts": contexts, "current-context": "c", "users": [{"name": "c", "user": {}}]}
        kind = {"apiVersion": "v1", "kind": "Config"}
        path.write_text(json.dumps({**kind, **named, **rest}))
        return path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: ClassVar[Cluster]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        prefix = self.cluster.path + "/"
        is_ours = parts.path.startswith(prefix)
        words = parts.path.removeprefix(prefix).strip("/").split("/") if is_ours else [""]
        if words[-1] == "exec":
            self.cluster.requests.append(("get", "pods/exec"))
            self._exec(words[-2], parse_qs(parts.query))
        elif (found := self._found(words, parse_qs(parts.query))) is None:
            self._answer(404, {"kind": "Status", "status": "Failure", "code": 404})
        else:
            self._answer(200, found)

    def _found(self, words: list[str], query: dict[str, list[str]]) -> Json | None:
        match words:
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"]}
            case ["apis"]:
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
            case ["api", "v1"]:
                kind = {"kind": "APIResourceList", "groupVersion": "v1"}
                return {**kind, "resources": _RESOURCES}
            case ["api", "v1", "nodes"]:
                self.cluster.requests.append(("list", "nodes"))
                selector = query.get("labelSelector", [""])[0]
                names = [*self.cluster.answers]
                found = [name for name in names if _is_met(selector, self._labels(name))]
                return _page("Node", found, self._node, query)
            case ["api", "v1", "namespaces", "runc-wrap", "pods"]:
                self.cluster.requests.append(("list", "pods"))
                names = [one for one in self.cluster.answers if one not in self.cluster.without_pod]
                return _page("Pod", names, lambda name: self._pod(f"pod-{name}", name), query)
            case ["api", "v1", "namespaces", "runc-wrap", "pods", name]:
                self.cluster.requests.append(("get", "pods"))
                return self._pod(name, name.removeprefix("pod-"))
            case ["api", "v1", "namespaces", "runc-wrap", "configmaps", name]:
                self.cluster.requests.append(("get", "configmaps"))
                if name in self.cluster.config_maps:
                    return _object("ConfigMap", name, {}, data=self.cluster.config_maps[name])
        return None

    def _node(self, name: str) -> Json:
        health = [{"type": "Ready", "status": "True"}]
        status = {**self.cluster.statuses.get("Node", {}), "conditions": health}
        node = _object("Node", name, self._labels(name), status=status)
        if name not in self.cluster.without_pod:
            node["metadata"]["annotations"] = {"runc-wrap.dev/state": "ready 1f0c"}
        return node

    def _labels(self, name: str) -> Json:
        return {"kubernetes.io/os": "linux", **self.cluster.labels.get(name, {})}

    def _pod(self, name: str, node: str) -> Json:
        return _pod(name, node, {**self.cluster.statuses.get("Pod", {}), "phase": "Running"})

    def _answer(self, code: int, value: Json) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _exec(self, pod: str, query: dict[str, list[str]]) -> None:
        node = pod.removeprefix("pod-")
        if why := _unnamed(pod, query):
            self._answer(400, {"kind": "Status", "status": "Failure", "message": why, "code": 400})
            return
        self.cluster.commands.append(query["command"])
        self.cluster.containers += query["container"]
        key = self.headers["Sec-WebSocket-Key"] + _MAGIC
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest())  # noqa: S324 - RFC 6455
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept.decode())
        self.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
        self.end_headers()
        if query.get("stdin") == ["true"]:
            self.cluster.given[node] = self._line()
        self._stream(self.cluster.answers[node])
        self.close_connection = True

    def _line(self) -> bytes:
        """Return what comes on channel 0, stdin, until a line of it is whole."""
        found = b""
        while not found.endswith(b"\n"):
            message = self._message()
            found += message[1:] if message[:1] == b"\x00" else b""
        return found

    def _message(self) -> bytes:
        """Return one message of a client, which is masked."""
        size = self.rfile.read(2)[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(self.rfile.read(2 if size == 126 else 8))
        mask, data = self.rfile.read(4), self.rfile.read(size)
        return bytes(one ^ mask[at % 4] for at, one in enumerate(data))

    def _stream(self, answer: bytes) -> None:
        for at in range(0, len(answer), _FRAME):
            self._send(b"\x01" + answer[at : at + _FRAME])
        self._send(b"\x03" + json.dumps(_SUCCESS).encode())
        self.wfile.write(b"\x88\x02\x03\xe8")  # close, normally

    def _send(self, message: bytes) -> None:
        size = len(message)
        head = bytes([0x82, size]) if size < 126 else b"\x82\x7e" + size.to_bytes(2, "big")
        self.wfile.write(head + message)


def _object(kind: str, name: str, labels: Json, **more: Any) -> Json:
    namespace = None if kind == "Node" else "runc-wrap"
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


def _pod(name: str, node: str, status: Json) -> Json:
    containers = [{"name": each, "image": "runc-wrap"} for each in _CONTAINERS]
    spec = {"nodeName": node, "containers": containers}
    labels = {"app.kubernetes.io/name": "runc-wrap"}
    return _object("Pod", name, labels, spec=spec, status=status)


def _unnamed(pod: str, query: dict[str, list[str]]) -> str:
    """Return why an exec is refused that does not name a container of the pod, as Kubernetes does.

    The annotation kubectl.kubernetes.io/default-container means nothing to the API server.
    """
    if query.get("container", [""])[0] in _CONTAINERS:
        return ""
    return f"a container name must be specified for pod {pod}, choose one of: {[*_CONTAINERS]}"


def _page(
    kind: str, names: list[str], made: Callable[[str], Json], query: dict[str, list[str]]
) -> Json:
    """Return one page of a list: the token of the next one is where that begins."""
    begin = int(query.get("continue", ["0"])[0])
    end = begin + int(query.get("limit", ["0"])[0] or len(names))
    metadata = {"continue": str(end)} if end < len(names) else {}
    items = [made(name) for name in names[begin:end]]
    return {"apiVersion": "v1", "kind": f"{kind}List", "metadata": metadata, "items": items}


def _is_met(selector: str, labels: Json) -> bool:
    """Tell whether labels meet a selector of `key=value` and `key notin (value)`."""
    for one in filter(None, selector.split(",")):
        key, is_out, value = one.partition(" notin ")
        key, value = (key, value.strip("()")) if is_out else one.split("=")
        if (labels.get(key) == value) == bool(is_out):
            return False
    return True


class _Server(ThreadingHTTPServer):
    """A server that many kubectls may connect to at once: by default five wait at most."""

    request_queue_size = 128


@contextmanager
def serving() -> Iterator[Cluster]:
    """Serve on loopback while the body runs."""
    cluster = Cluster()
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
