"""Asks the nodes of a cluster: which there are, the pod of each, and their answers.

A few nodes are asked at a time, each twice at most and not for ever. At most as many answers are
held as nodes are asked at once. Each becomes a document that names the node that was asked,
whatever name the answer has.
"""

import time
from collections.abc import Collection, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from runc_wrap import time_text
from runc_wrap.fleet import kubectl, node_list
from runc_wrap.fleet.kubectl import Kubectl, KubectlError
from runc_wrap.fleet.node_list import AskedNode, ListedNode
from runc_wrap.host.progress_meter import Meter
from runc_wrap.hotpath import json_codec
from runc_wrap.report.merge import document_stream, node_document

Json = dict[str, Any]
ATTEMPTS = 2
_CONTAINER = "installer"  # of the installer's pod, which may have one for metrics, too
_LISTING = 120.0  # seconds


class Asking(NamedTuple):
    """How nodes are asked; `seconds`: how long one may take for each attempt."""

    at_once: int
    seconds: float
    without: tuple[str, ...] = ()


def nodes(cluster: Kubectl, selector: str | None = None) -> list[ListedNode]:
    """Return the nodes, those with these labels if `selector` is given. Raises KubectlError."""
    kind = node_list.NodeObject
    found = node_list.nodes(kubectl.items(cluster, kubectl.NODES, kind, selector or "", _LISTING))
    if not any(one.is_linux for one in found):
        raise KubectlError("the cluster lists no Linux node")
    return found


def asked(
    cluster: Kubectl, selector: str | None = None, without: Collection[str] = ()
) -> tuple[list[AskedNode], list[str]]:
    """Return whom to ask on each node but `without`, and which nodes are left out.

    Left out are those that say that they do not run Linux, and have no pod of the installer.
    Raises KubectlError.
    """
    everyone = nodes(cluster, selector)
    found = _asked(cluster, everyone)
    left_out = sorted({one.name for one in everyone} - {one.node for one in found})
    return [one for one in found if one.node not in without], left_out


def _asked(cluster: Kubectl, everyone: Sequence[ListedNode]) -> list[AskedNode]:
    path = kubectl.pods(cluster.namespace)
    found = kubectl.items(cluster, path, node_list.PodObject, node_list.SELECTOR, _LISTING)
    return node_list.asked(everyone, found)


def doubts(cluster: Kubectl, everyone: Sequence[ListedNode]) -> dict[str, str]:
    """Return {node: why what it says of itself may be old}. Raises KubectlError.

    Labels and annotations outlive the installer's pod and the kubelet.
    """
    found = {one.node: one.why for one in _asked(cluster, everyone) if one.why}
    away = {one.name: "its kubelet is not ready" for one in everyone if one.health != "True"}
    return {**away, **found}


@dataclass(frozen=True)
class Query:
    """What nodes are asked: `command` is run in the installer's pod and prints one document.

    `given` is the command's stdin: one line, as a stream's end need not arrive.
    """

    cluster: Kubectl
    command: Sequence[str]
    how: Asking
    given: bytes = b""

    def documents(self, nodes: Sequence[AskedNode], meter: Meter) -> Generator[tuple[Json, int]]:
        """Yield a document for each node, and its bytes, in the order in which they answer."""
        meter.total = len(nodes)
        waiting, most = iter(nodes), self.how.at_once
        with ThreadPoolExecutor(most) as pool:
            try:
                asking = {pool.submit(self._asked, one) for one in islice(waiting, most)}
                while asking:
                    done, asking = wait(asking, return_when=FIRST_COMPLETED)
                    for future in done:
                        meter.done += 1
                        yield json_codec.loads(future.result()), len(future.result())
                    more = islice(waiting, most - len(asking))
                    asking |= {pool.submit(self._asked, one) for one in more}
            finally:
                self.cluster.given_up.set()  # else an interrupted command would wait for it
                pool.shutdown(wait=False, cancel_futures=True)

    def _asked(self, one: AskedNode) -> bytes:
        """Return the document of one node as text, which takes less memory while it waits."""
        why = one.why
        for _ in range(0 if why else ATTEMPTS):
            if self.cluster.given_up.is_set():
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
        where = ("--namespace", self.cluster.namespace, one.pod, "--container", _CONTAINER)
        words = ("exec", *stdin, *where, "--", *self.command)
        ended = self.cluster.ended(
            *words, seconds=self.how.seconds, largest=document_stream.LARGEST, given=self.given
        )
        value, why = document_stream.only(ended.raw)
        if why:
            said = kubectl.said(ended.complaint)
            if not ended.raw.strip():
                raise KubectlError(said or "it answered nothing")
            raise KubectlError(f"its answer of {len(ended.raw)} bytes is not one document: {said}")
        if not isinstance(value, dict):
            return node_document.silent(one.node, "its answer is no node's document")
        # by our clock: a node could call its document as old as it likes
        return {**value, "node": one.node, "generated": time_text.rfc3339(time.time())}


def lines(document: Json) -> bytes:
    """Return a document as `report --merge` reads it again, with the name of who was asked."""
    return document_stream.asking(document["node"]) + json_codec.dumps(document) + b"\n"
