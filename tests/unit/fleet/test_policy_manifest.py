"""Which policy manifests bring: the ConfigMaps among them, as kubectl prints what it has read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.fleet import policy_manifest
from runc_wrap.fleet.kubectl import Kubectl
from runc_wrap.fleet.policy_manifest import NoPolicy
from runc_wrap.node.cluster.cluster_policy import policy_files
from runc_wrap.node.cluster.cluster_policy.policy_files import MODE

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]


class Printing(Kubectl):
    """kubectl that has read these objects."""

    def __init__(self, *objects: Any) -> None:
        super().__init__("kubectl")
        text = "\n".join(json.dumps(one, indent=4) for one in objects)
        object.__setattr__(self, "printed", text.encode())

    def run(self, *words: str, seconds: float, largest: int, given: bytes = b"") -> bytes:
        del seconds, largest, given
        assert "--local" in words
        found: bytes = self.__dict__["printed"]
        return found


def _map(name: str, **data: Any) -> Json:
    found = {key.replace("_", "."): value for key, value in data.items()}
    return {"kind": "ConfigMap", "metadata": {"name": name}, "data": found}


def _in(namespace: str, found: Json) -> Json:
    return {**found, "metadata": {**found["metadata"], "namespace": namespace}}


def _daemonset(*names: str, **more: Any) -> Json:
    volumes: list[Json] = [
        {"name": f"v{at}", "configMap": {"name": one}} for at, one in enumerate(names)
    ]
    volumes += [{"name": "more", **more}] if more else []
    spec = {"template": {"spec": {"volumes": [{"name": "x", "hostPath": {}}, *volumes]}}}
    return {"kind": "DaemonSet", "metadata": {"name": "d"}, "spec": spec}


POLICY = _map("runc-wrap-policy-1f", config_toml="# 1")
OTHER = _map("runc-wrap-policy-rest-2e", config_toml="# 2")
OWN = _map("runc-wrap-profiles-3d", web_json="{}", note_txt="x")
BINARY = {"kind": "ConfigMap", "metadata": {"name": "runc-wrap-profiles"}}
TOKEN = [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "kube-root-ca.crt"}}]
OTHERS_OWN = _map("runc-wrap-profiles-rest-4c", web_json="[]")
FOUND: dict[str, tuple[list[Any], str | None, dict[str, str]]] = {
    "alone": ([POLICY], None, {"config.toml": "# 1"}),
    "with profiles": ([POLICY, OWN], None, {"config.toml": "# 1", "profiles/web.json": "{}"}),
    "among others": ([{"kind": "Namespace"}, [], 3, POLICY, OWN], None,
                     {"config.toml": "# 1", "profiles/web.json": "{}"}),
    "named": ([POLICY, OTHER], "runc-wrap-policy-rest-2e", {"config.toml": "# 2"}),
    "as its DaemonSet mounts them": (
        [POLICY, OTHER, OWN, OTHERS_OWN, _daemonset("runc-wrap-policy-1f", "runc-wrap-profiles-3d"),
         _daemonset("runc-wrap-policy-rest-2e", "runc-wrap-profiles-rest-4c")],
        "runc-wrap-policy-rest-2e", {"config.toml": "# 2", "profiles/web.json": "[]"}),
    "mounted without profiles": (
        [POLICY, OWN, _daemonset("runc-wrap-policy-1f", "elsewhere")], None,
        {"config.toml": "# 1"}),
    "mounted beside a token": (
        [POLICY, OWN, _daemonset("runc-wrap-policy-1f", projected={"sources": TOKEN})], None,
        {"config.toml": "# 1"}),
    "of another namespace's name": (
        [_in("shop", _map("runc-wrap-policy-1f", config_toml="# 3")), _in("ours", POLICY),
         _in("shop", _map("runc-wrap-profiles", web_json="[]")), OWN,
         _in("shop", _daemonset("runc-wrap-policy-1f"))], None,
        {"config.toml": "# 1", "profiles/web.json": "{}"}),
    "by the name before kustomize": (
        [_map("p-rest-4c4c4c4c4c", config_toml="# 2"), _map("p-1f1f1f1f1f", config_toml="# 1")],
        "p", {"config.toml": "# 1"}),
    "with the overlay's mode": (
        [POLICY, _map("runc-wrap-mode-4c", **{"0-mode_toml": "# 4"})], None,
        {"config.toml": "# 1", MODE: "# 4"}),
    "with its DaemonSet's mode": (
        [POLICY, _map("runc-wrap-mode-4c", **{"0-mode_toml": "# 4"}),
         _map("runc-wrap-mode-5d", **{"0-mode_toml": "# 5"}),
         _daemonset("runc-wrap-policy-1f", "runc-wrap-mode-5d")], None,
        {"config.toml": "# 1", MODE: "# 5"}),
    "beside what is no profile": (
        [POLICY, {**BINARY, "data": {".a.json": "{}"}, "binaryData": {"note.bin": "AA=="}}], None,
        {"config.toml": "# 1"}),
}  # fmt: skip
NONE: dict[str, tuple[list[Any], str | None, str]] = {
    "nothing": ([], None, "there is no ConfigMap with the key config.toml"),
    "no such key": ([_map("runc-wrap-policy", config_tml="")], None, "there is no ConfigMap"),
    "no such name": ([POLICY], "x", "there is no ConfigMap x with the key config.toml"),
    "two by the name before kustomize": (
        [_map("p-1f1f1f1f1f", config_toml="# 1"), _map("p-2e2e2e2e2e", config_toml="# 2")],
        "p", "there are several policies"),
    "several": ([POLICY, OTHER], None, "there are several policies"),
    "no text": ([_map("runc-wrap-policy", config_toml=3)], None, "there is no ConfigMap"),
    "too large": ([_map("p", config_toml="#" * (1 << 20) + "#")], None, "more than the 1048576"),
    "of another namespace": (
        [_in("shop", POLICY)], None, "config.toml for the installer's namespace, ours$"),
    "twice": ([POLICY, _in("ours", POLICY)], None, "there are two ConfigMaps runc-wrap-policy-1f;"),
    "binary": (
        [{**BINARY, "binaryData": {"config.toml": "AA=="}}], None, "^config.toml of the ConfigMap"),
    "a binary profile": (
        [POLICY, {**BINARY, "binaryData": {"web.json": "AA=="}}], None, "web.json .*is binaryData"),
    "projected": (
        [POLICY, OWN, _daemonset("runc-wrap-policy-1f", projected={
            "sources": [*TOKEN, {"configMap": {"name": "runc-wrap-profiles-3d"}}]})],
        None, "^the volume more projects runc-wrap-profiles-3d, where"),
    "picked": (
        [POLICY, OWN, _daemonset("runc-wrap-policy-1f", configMap={
            "name": "runc-wrap-profiles-3d", "items": [{"key": "note.txt", "path": "a.json"}]})],
        None, "^the volume more picks items of runc-wrap-profiles-3d, where"),
    "damaged": ([{"kind": "ConfigMap", "metadata": 3, "data": 4}], None, "there is no ConfigMap"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOUND)
def test_the_policy_and_its_profiles_are_found(kind: str) -> None:
    objects, named, files = FOUND[kind]
    (found,) = policy_manifest.of_manifests(Printing(*objects), b"", named, "ours")
    # Manifests that bring no mode take the former one away.
    assert found[:3] == ("", {MODE: "", **files}, ())


def _selecting(found: Json, name: str, **spec: Any) -> Json:
    inner = {**found["spec"]["template"]["spec"], **spec}
    return {**found, "metadata": {"name": name}, "spec": {"template": {"spec": inner}}}


def _required(*terms: Any) -> Json:
    required = {"nodeSelectorTerms": [*terms]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def _term(*expressions: tuple[str, str, list[str]]) -> Json:
    keys = ("key", "operator", "values")
    return {"matchExpressions": [dict(zip(keys, one, strict=True)) for one in expressions]}


ONE = _daemonset("runc-wrap-policy-1f", "runc-wrap-profiles-3d")
SAME = _selecting(_daemonset("runc-wrap-policy-1f", "runc-wrap-profiles-rest-4c"), "rest")


def test_daemonsets_that_bring_different_profiles_to_one_policy_are_pools() -> None:
    canary = _selecting(ONE, "canary", nodeSelector={"pool": "canary", "kubernetes.io/os": "linux"})
    objects = (POLICY, OWN, OTHERS_OWN, canary, SAME)
    found = policy_manifest.of_manifests(Printing(*objects), b"", None, "ours")
    assert [one[:3] for one in found] == [
        (
            "canary",
            {"config.toml": "# 1", MODE: "", "profiles/web.json": "{}"},
            ("pool=canary,kubernetes.io/os=linux",),
        ),
        ("rest", {"config.toml": "# 1", MODE: "", "profiles/web.json": "[]"}, ("",)),
    ]


ANY = {"operator": "Exists"}
GPU = {"key": "x/gpu", "operator": "Exists", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("daemonsets", "tolerated"),
    [
        ([], None),
        ([ONE], ()),
        ([_selecting(ONE, "a", tolerations=[ANY])], (("", None, ""),)),
        ([_selecting(ONE, "a", tolerations=[GPU])] * 2, (("x/gpu", None, "NoSchedule"),)),
        ([_selecting(ONE, "a", tolerations=[GPU]), ONE], None),
    ],
)
def test_what_the_pods_tolerate_is_known_if_all_daemonsets_that_bring_it_say_the_same(
    daemonsets: list[Json], tolerated: object
) -> None:
    objects = (POLICY, OWN, *daemonsets)
    (found,) = policy_manifest.of_manifests(Printing(*objects), b"", None, "ours")
    assert found.tolerations == tolerated


SELECTED: dict[str, tuple[Json, tuple[str, ...]]] = {
    "all": ({"nodeSelector": None, "affinity": {"podAffinity": {}}}, ("",)),
    "labels": ({"nodeSelector": {"a/b": "c", "d": ""}}, ("a/b=c,d=",)),
    "one of several terms": (
        {
            "nodeSelector": {"os": "linux"},
            "affinity": _required(
                _term(("pool", "NotIn", ["canary", "b"]), ("x", "Exists", [])),
                _term(("pool", "In", ["c"]), ("y", "DoesNotExist", [])),
            ),
        },
        ("os=linux,pool notin (canary,b),x", "os=linux,pool in (c),!y"),
    ),
    "nothing": ({"affinity": _required(_term())}, ()),
}
UNSELECTABLE: dict[str, tuple[Json, str]] = {
    "numbers": ({"affinity": _required(_term(("cpus", "Gt", ["4"])))}, "the operator Gt"),
    "names": ({"affinity": _required({"matchFields": []})}, "matchFields"),
    "both": (
        {"affinity": _required({"matchFields": [], "matchExpressions": []})},
        "matchFields and matchExpressions",
    ),
    "another selector": ({"nodeSelector": {"a": "b,c=d"}}, "the value b,c=d"),
    "another key": ({"nodeSelector": {"a in (b),c": "d"}}, "the label a in"),
    "no list": ({"affinity": {"nodeAffinity": 3}}, "int"),
    "many": ({"affinity": _required(*[_term()] * 17)}, "17 terms, more than 16"),
}


@pytest.mark.parametrize("kind", SELECTED)
def test_the_nodes_of_a_daemonset_are_label_selectors(kind: str) -> None:
    spec, found = SELECTED[kind]
    pools = policy_manifest.of_manifests(
        Printing(POLICY, OWN, OTHERS_OWN, SAME, _selecting(ONE, "d", **spec)), b"", None, "ours"
    )
    assert pools[1].selectors == found


@pytest.mark.parametrize("kind", UNSELECTABLE)
def test_nodes_that_no_label_selector_finds_are_refused(kind: str) -> None:
    spec, why = UNSELECTABLE[kind]
    objects = (POLICY, OWN, OTHERS_OWN, SAME, _selecting(ONE, "d", **spec))
    with pytest.raises(NoPolicy, match=f"DaemonSet d selects .*{why}.*by --config-map"):
        policy_manifest.of_manifests(Printing(*objects), b"", None, "ours")


@pytest.mark.parametrize("kind", NONE)
def test_without_one_policy_it_says_why(kind: str) -> None:
    objects, named, why = NONE[kind]
    with pytest.raises(NoPolicy, match=why):
        policy_manifest.of_manifests(Printing(*objects), b"", named, "ours")


def test_profiles_of_a_directory_are_those_that_a_node_takes(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("# 1")
    (tmp_path / "profiles").mkdir()
    for name in (
        "web.json",
        "._web.json",
        ".json",
        "note.txt",
        *(f"{at}.json" for at in range(255)),
    ):
        (tmp_path / "profiles" / name).write_text("{}")
    found = policy_manifest.of_file(tmp_path / "config.toml")
    assert len(found) == 257  # as many as a ConfigMap of profiles may have, and config.toml
    assert policy_files.received(policy_manifest.sent(found)).keys() == found.keys()
    (tmp_path / "profiles" / "256.json").write_text("{}")
    with pytest.raises(NoPolicy, match="has 257 profiles; at most 256"):
        policy_manifest.of_file(tmp_path / "config.toml")
