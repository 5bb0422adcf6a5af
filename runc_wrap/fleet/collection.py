"""Asks nodes for their reports, a few at a time, each twice at most and not for ever.

At most as many answers are held as nodes are asked at once. Each becomes a document that names the
node that was asked, whatever name the answer has.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runc_wrap.evidence.store import coverage
from runc_wrap.fleet import exec_proxy, exec_stream, kubectl
from runc_wrap.fleet.kubectl import Kubectl, KubectlError
from runc_wrap.hotpath import json_codec
from runc_wrap.report.merge import document_stream, node_document

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from runc_wrap.fleet.node_list import Asked
    from runc_wrap.host.meter import Meter

Json = dict[str, Any]
ATTEMPTS = 2
_CONTAINER = "installer"  # of the installer's pod, which may have one for metrics, too
MANY = 16  # nodes for which starting kubectl's proxy pays off


@dataclass(frozen=True)
class Collection:
    """How nodes are asked: `command` is run in the installer's pod and prints one document."""

    kubectl: Kubectl
    namespace: str
    command: Sequence[str]
    at_once: int
    seconds: float

    def documents(self, nodes: Sequence[Asked], meter: Meter) -> Generator[Json]:
        """Yield a document for each node, in the order in which they answer."""
        meter.total = len(nodes)
        waiting = iter(nodes)
        with self._proxy(len(nodes)) as proxy, ThreadPoolExecutor(self.at_once) as pool:
            asking: set[Future[Json]] = set()
            try:
                while True:
                    for one in waiting:
                        asking.add(pool.submit(self._asked, one, proxy))
                        if len(asking) >= self.at_once:
                            break
                    if not asking:
                        return
                    done, asking = wait(asking, return_when=FIRST_COMPLETED)
                    for future in done:
                        meter.done += 1
                        yield future.result()
            finally:
                self.kubectl.given_up.set()  # else an interrupted command would wait for it
                pool.shutdown(wait=False, cancel_futures=True)

    def _proxy(self, nodes: int) -> AbstractContextManager[Path | None]:
        """Return kubectl's proxy if that pays off for so many nodes."""
        return exec_proxy.opened(self.kubectl, self.namespace) if nodes >= MANY else nullcontext()

    def _asked(self, one: Asked, proxy: Path | None) -> Json:
        """Return the answer of one node: by the proxy, if there is one, then by kubectl's exec.

        So what the proxy does not let through, WebSockets perhaps, is only slower.
        """
        why = one.why
        for at in (proxy, None)[:ATTEMPTS] if not why else ():
            if self.kubectl.given_up.is_set():
                break
            try:
                return self._answer(one, at)
            except KubectlError as error:
                why = str(error)
        return node_document.silent(one.node, why)

    def _answer(self, one: Asked, proxy: Path | None) -> Json:
        """Return the node's document. Raises KubectlError."""
        printed, complaint = self._by_kubectl(one) if proxy is None else self._by(proxy, one)
        found = document_stream.only(printed)
        if isinstance(found, document_stream.Unusable):
            raise KubectlError(_why(printed, complaint))
        return _named(found.value, one.node)

    def _by_kubectl(self, one: Asked) -> tuple[bytes, bytes]:
        stdin = ("--stdin",) if one.given else ()
        where = ("--namespace", self.namespace, one.pod, "--container", _CONTAINER)
        words = ("exec", *stdin, *where, "--", *self.command)
        printed, complaint, _ = self.kubectl.ended(
            *words, seconds=self.seconds, largest=document_stream.LARGEST, given=one.given
        )
        return printed, complaint

    def _by(self, proxy: Path, one: Asked) -> tuple[bytes, bytes]:
        printed = exec_stream.run(
            proxy,
            (self.namespace, one.pod, _CONTAINER),
            self.command,
            one.given,
            seconds=self.seconds,
            largest=document_stream.LARGEST,
            given_up=self.kubectl.given_up,
        )
        return printed.stdout, printed.complaint


def _why(printed: bytes, complaint: bytes) -> str:
    """Return why an answer is none: what kubectl said, or that it is no document."""
    if not printed.strip():
        return kubectl.said(complaint) or "it answered nothing"
    return f"its answer of {len(printed)} bytes is not one document: {kubectl.said(complaint)}"


def _named(value: Any, node: str) -> Json:  # noqa: ANN401 - any JSON value
    """Return an answer as the document of the node that was asked, made when it came.

    By our clock: it is made when it is asked for, and a node could call it as old as it likes.
    """
    now = coverage.rfc3339(time.time())
    if isinstance(value, list):
        return node_document.written(value, node, now)
    if isinstance(value, dict):
        return {**value, "node": node, "generated": now}
    return {"form": node_document.FORM, "node": node, "workloads": value}


def line(document: Json) -> bytes:
    """Return a document as one line, as `report --merge` reads it again.

    What can be read may be nested too deeply to be written: no report is.
    """
    try:
        return json_codec.dumps(document) + b"\n"
    except json_codec.Unreadable as error:
        return line(node_document.silent(document["node"], f"its answer cannot be saved: {error}"))
