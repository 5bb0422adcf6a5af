"""Which policy manifests bring: the ConfigMaps among them, as kubectl prints what it has read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runc_wrap.fleet import policy_manifest
from runc_wrap.fleet.kubectl import Kubectl
from runc_wrap.fleet.policy_manifest import NoPolicy

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


def _daemonset(*names: str) -> Json:
    volumes = [{"name": f"v{at}", "configMap": {"name": one}} for at, one in enumerate(names)]
    spec = {"template": {"spec": {"volumes": [{"name": "x", "hostPath": {}}, *volumes]}}}
    return {"kind": "DaemonSet", "metadata": {"name": "d"}, "spec": spec}


POLICY = _map("runc-wrap-policy-1f", config_toml="# 1")
OTHER = _map("runc-wrap-policy-rest-2e", config_toml="# 2")
OWN = _map("runc-wrap-profiles-3d", web_json="{}", note_txt="x")
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
}  # fmt: skip
NONE: dict[str, tuple[list[Any], str | None, str]] = {
    "nothing": ([], None, "there is no ConfigMap with the key config.toml"),
    "no such key": ([_map("runc-wrap-policy", config_tml="")], None, "there is no ConfigMap"),
    "no such name": ([POLICY], "x", "there is no ConfigMap x with the key config.toml"),
    "several": ([POLICY, OTHER], None, "there are several policies"),
    "no text": ([_map("runc-wrap-policy", config_toml=3)], None, "there is no ConfigMap"),
    "too large": ([_map("p", config_toml="#" * (1 << 20) + "#")], None, "more than the 1048576"),
    "damaged": ([{"kind": "ConfigMap", "metadata": 3, "data": 4}], None, "there is no ConfigMap"),
}


@pytest.mark.parametrize("kind", FOUND)
def test_the_policy_and_its_profiles_are_found(kind: str) -> None:
    objects, named, files = FOUND[kind]
    assert policy_manifest.of_manifests(Printing(*objects), b"", named) == files


@pytest.mark.parametrize("kind", NONE)
def test_without_one_policy_it_says_why(kind: str) -> None:
    objects, named, why = NONE[kind]
    with pytest.raises(NoPolicy, match=why):
        policy_manifest.of_manifests(Printing(*objects), b"", named)
