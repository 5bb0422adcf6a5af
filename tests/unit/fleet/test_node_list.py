"""What the API server lists, page by page, becomes nodes, and the pod to ask on each."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from runc_wrap.documents.reader import taken
from runc_wrap.fleet import kubectl as kubectl_program
from runc_wrap.fleet import node_list
from runc_wrap.fleet.kubectl import Kubectl, KubectlError, TooLargeError
from runc_wrap.fleet.node_list import AskedNode, ListedNode, NodeObject, PodObject
from tests.unit.fleet.conftest import pod_object

Json = dict[str, Any]


@dataclass(frozen=True)
class Paged(Kubectl):
    """Lists objects; a page that is larger than `largest` characters is too large."""

    path: str = ""
    url: str = "https://127.0.0.1:6443"
    objects: tuple[Json, ...] = ()
    largest: int = 1000
    asked: list[Json] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def run(self, *words: str, **_: Any) -> bytes:
        if words[:2] == ("config", "view"):
            return self.url.encode()
        assert words[:2] == ("get", "--raw")
        self.paths.append(urlsplit(words[2]).path)
        query = {name: value for name, (value,) in parse_qs(urlsplit(words[2]).query).items()}
        self.asked.append(query)
        begin, limit = int(query.get("continue", "0")), int(query["limit"])
        end = begin + limit
        following = {"continue": str(end)} if end < len(self.objects) else {}
        text = json.dumps({"metadata": following, "items": self.objects[begin:end]})
        if len(text) > self.largest:
            raise TooLargeError("too large")
        return text.encode()


def _listed(kubectl: Kubectl, selector: str = "") -> list[Json]:
    return [*kubectl_program.items(kubectl, kubectl_program.NODES, Json, selector, 60.0)]


SERVERS = ["https://a:6443", "https://a/k8s/clusters/c-1/", "", "https://["]


@pytest.mark.parametrize("server", SERVERS)
def test_the_path_of_the_kubeconfigs_server_comes_first(server: str) -> None:
    kubectl = Paged(url=server, objects=({},))
    assert _listed(kubectl) == [{}]
    assert kubectl.paths == ["/k8s/clusters/c-1" * ("k8s" in server) + "/api/v1/nodes"]


def test_large_objects_hide_no_others() -> None:
    large = {"text": "x" * 500}
    kubectl = Paged(objects=(*({"at": at} for at in range(600)), large, {"at": 600}), largest=1200)
    assert len(_listed(kubectl)) == 602
    assert {one["limit"] for one in kubectl.asked} == {"500", "50"}
    with pytest.raises(TooLargeError):
        _listed(Paged(objects=({"text": "x" * 2000},)))


def test_a_page_of_too_many_objects_is_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubectl_program, "_MOST_CONTAINERS", 150)
    kubectl = Paged(objects=({},) * 400, largest=1 << 20)
    assert len(_listed(kubectl)) == 400
    assert {one["limit"] for one in kubectl.asked} == {"500", "50"}


class Printing(Kubectl):
    """Prints the same each time."""

    def run(self, *_: str, **__: Any) -> bytes:
        return self.path.encode()


UNUSABLE = [
    ("what", "the API server's list cannot be used: it is not JSON"),
    ('{"items": {}}', "the API server's list cannot be used: items: found an object, wanted"),
    ('{"items": [{}, 3]}', r"the API server's list cannot be used: \[1\]: found 3, wanted"),
    ('{"metadata": {"continue": "a"}, "items": []}', "did not end within 0.2 s"),
]


@pytest.mark.parametrize(("printed", "why"), UNUSABLE)
def test_what_is_no_list_is_said(printed: str, why: str) -> None:
    with pytest.raises(KubectlError, match=why):
        [*kubectl_program.items(Printing(printed), kubectl_program.NODES, Json, "", 0.2)]


def test_a_namespace_is_one_word_of_the_path() -> None:
    assert kubectl_program.pods("a/../b?c") == "/api/v1/namespaces/a%2F..%2Fb%3Fc/pods"


NO_POD = "the installer has no pod on it"
NODE, HIDING = (ListedNode("b", "True", False, "", "", system) for system in ("linux", "windows"))
READY = NODE._replace(is_ready=True)
POD, PENDING = pod_object("b", "pod-b"), pod_object("b", "pod-b", "Pending")
FAILED = pod_object("b", "old", "Failed")
ASKED: list[tuple[ListedNode, list[Json], list[AskedNode]]] = [
    (HIDING, [], []),
    (HIDING, [POD], [AskedNode("b", "pod-b")]),
    (HIDING._replace(is_ready=True), [], [AskedNode("b", "", NO_POD)]),
    (HIDING._replace(state="ready 1"), [], [AskedNode("b", "", NO_POD)]),
    (HIDING._replace(version="1"), [], [AskedNode("b", "", NO_POD)]),
    (READY, [POD], [AskedNode("b", "pod-b")]),
    (READY, [PENDING], [AskedNode("b", "pod-b", "its pod pod-b is Pending")]),
    (READY, [FAILED, POD], [AskedNode("b", "pod-b")]),
    (READY, [POD, FAILED], [AskedNode("b", "pod-b")]),
    (READY, [pod_object("", "pod-b", "Pending")], [AskedNode("b", "", NO_POD)]),
    (READY, [], [AskedNode("b", "", NO_POD)]),
    (NODE, [], [AskedNode("b", "", NO_POD, is_reached=False)]),
    (NODE._replace(version="1"), [], [AskedNode("b", "", NO_POD)]),
]


@pytest.mark.parametrize(("node", "pods", "asked"), ASKED)
def test_each_node_has_a_pod_to_ask_or_a_reason_and_none_hides_as_one_of_another_system(
    node: ListedNode, pods: list[Json], asked: list[AskedNode]
) -> None:
    assert node_list.asked([node], taken(list[PodObject], pods)) == asked


def test_nothing_that_a_node_writes_hides_others() -> None:
    long = "x" * 300_000
    mine = {"runc-wrap.dev/state": long}
    status = {"conditions": [{"type": long, "status": long}] * 3, "phase": long}
    metadata = {"name": "b", "annotations": mine, "labels": None}
    one = {"metadata": metadata, "status": status, "spec": {"nodeName": "b"}}
    (node,) = node_list.nodes(taken(list[NodeObject], [one]))
    assert (node.name, len(node.state), node.health) == ("b", 1000, "")
    (asked,) = node_list.asked([node], taken(list[PodObject], [one]))
    assert len(asked.why) < 2000
