"""Lists of the API's objects: whole, page by page, however large some objects are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from runc_wrap.fleet import api_list
from runc_wrap.fleet.kubectl import Kubectl, KubectlError, TooLargeError

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
    return [*api_list.items(kubectl, api_list.NODES, Json, selector, 60.0)]


def test_a_list_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_list, "_PAGE", 2)
    kubectl = Paged(objects=tuple({"at": at} for at in range(5)))
    assert [one["at"] for one in _listed(kubectl, "a/b in (c,d)")] == [*range(5)]
    same = {"limit": "2", "labelSelector": "a/b in (c,d)"}
    assert kubectl.asked == [same, {**same, "continue": "2"}, {**same, "continue": "4"}]


@pytest.mark.parametrize(
    ("server", "path"),
    [
        ("https://127.0.0.1:6443", "/api/v1/nodes"),
        ("https://rancher.example/k8s/clusters/c-1/", "/k8s/clusters/c-1/api/v1/nodes"),
        ("", "/api/v1/nodes"),
        ("https://[", "/api/v1/nodes"),
    ],
)
def test_the_path_of_the_kubeconfigs_server_comes_first(server: str, path: str) -> None:
    kubectl = Paged(url=server, objects=({},))
    assert _listed(kubectl) == [{}]
    assert kubectl.paths == [path]


def test_large_objects_hide_no_others() -> None:
    large = {"text": "x" * 500}
    kubectl = Paged(objects=(*({"at": at} for at in range(600)), large, {"at": 600}), largest=1200)
    assert len(_listed(kubectl)) == 602
    assert {one["limit"] for one in kubectl.asked} == {"500", "50"}
    with pytest.raises(TooLargeError):
        _listed(Paged(objects=({"text": "x" * 2000},)))


def test_a_page_of_more_objects_than_fit_is_asked_for_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api_list, "_MOST_CONTAINERS", 150)
    kubectl = Paged(objects=({},) * 400, largest=1 << 20)
    assert len(_listed(kubectl)) == 400
    assert {one["limit"] for one in kubectl.asked} == {"500", "50"}


class Printing(Kubectl):
    """Prints the same each time."""

    def run(self, *_: str, **__: Any) -> bytes:
        return self.path.encode()


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        ("what", "the API server's list cannot be used: it is not JSON"),
        ('{"items": {}}', "the API server's list cannot be used: items: found an object, wanted"),
        ('{"items": [{}, 3]}', r"the API server's list cannot be used: \[1\]: found 3, wanted"),
        ('{"metadata": {"continue": "a"}, "items": []}', "did not end within 0.2 s"),
    ],
)
def test_what_is_no_list_is_said(printed: str, why: str) -> None:
    with pytest.raises(KubectlError, match=why):
        [*api_list.items(Printing(printed), api_list.NODES, Json, "", 0.2)]


def test_a_namespace_is_one_word_of_the_path() -> None:
    assert api_list.pods("a/../b?c") == "/api/v1/namespaces/a%2F..%2Fb%3Fc/pods"
