"""Asks nodes for their reports, a few at a time, each twice at most and not for ever.

At most as many answers are held as nodes are asked at once. Each becomes a document that names the
node that was asked, whatever name the answer has.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runc_wrap import time_text
from runc_wrap.fleet import kubectl
from runc_wrap.fleet.kubectl import Kubectl, KubectlError
from runc_wrap.hotpath import json_codec
from runc_wrap.report.merge import document_stream, node_document

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from runc_wrap.fleet.node_list import AskedNode
    from runc_wrap.host.progress_meter import Meter

Json = dict[str, Any]
ATTEMPTS = 2
_CONTAINER = "installer"  # of the installer's pod, which may have one for metrics, too


@dataclass(frozen=True)
class Collection:
    """How nodes are asked: `command` is run in the installer's pod and prints one document.

    `given` is the command's stdin: one line, as a stream's end need not arrive.
    """

    kubectl: Kubectl
    namespace: str
    command: Sequence[str]
    at_once: int
    seconds: float
    given: bytes = b""

    def documents(self, nodes: Sequence[AskedNode], meter: Meter) -> Generator[tuple[Json, int]]:
        """Yield a document for each node, and its bytes, in the order in which they answer."""
        meter.total = len(nodes)
        waiting = iter(nodes)
        with ThreadPoolExecutor(self.at_once) as pool:
            asking: set[Future[bytes]] = set()
            try:
                while True:
                    for one in waiting:
                        asking.add(pool.submit(self._asked, one))
                        if len(asking) >= self.at_once:
                            break
                    if not asking:
                        return
                    done, asking = wait(asking, return_when=FIRST_COMPLETED)
                    for future in done:
                        meter.done += 1
                        yield json_codec.loads(future.result()), len(future.result())
            finally:
                self.kubectl.given_up.set()  # else an interrupted command would wait for it
                pool.shutdown(wait=False, cancel_futures=True)

    def _asked(self, one: AskedNode) -> bytes:
        """Return the document of one node as text, which takes less memory while it waits."""
        why = one.why
        for _ in range(0 if why else ATTEMPTS):
            if self.kubectl.given_up.is_set():
                break
            try:
                return json_codec.dumps(self._answer(one))
            except KubectlError as error:
                why = str(error)
            except json_codec.Unreadable as error:  # nested too deeply: no report is
                why = f"its answer cannot be saved: {error}"
        return json_codec.dumps(node_document.silent(one.node, why))

    def _answer(self, one: AskedNode) -> Json:
        """Return the node's document. Raises KubectlError."""
        stdin = ("--stdin",) if self.given else ()
        where = ("--namespace", self.namespace, one.pod, "--container", _CONTAINER)
        words = ("exec", *stdin, *where, "--", *self.command)
        ended = self.kubectl.ended(
            *words, seconds=self.seconds, largest=document_stream.LARGEST, given=self.given
        )
        found = document_stream.only(ended.raw)
        if isinstance(found, document_stream.Unusable):
            raise KubectlError(_why(ended.raw, ended.complaint))
        return _named(found.value, one.node)


def _why(printed: bytes, complaint: str) -> str:
    """Return why an answer is none: what kubectl said, or that it is no document."""
    if not printed.strip():
        return kubectl.said(complaint) or "it answered nothing"
    return f"its answer of {len(printed)} bytes is not one document: {kubectl.said(complaint)}"


def _named(value: Any, node: str) -> Json:  # noqa: ANN401 - any JSON value
    """Return an answer as the document of the node that was asked, made when it came.

    By our clock: it is made when it is asked for, and a node could call it as old as it likes.
    """
    now = time_text.rfc3339(time.time())
    if not isinstance(value, dict):
        return node_document.silent(node, "its answer is no node's document")
    return {**value, "node": node, "generated": now}


def lines(document: Json) -> bytes:
    """Return a document as `report --merge` reads it again, with the name of who was asked."""
    return document_stream.asking(document["node"]) + json_codec.dumps(document) + b"\n"
