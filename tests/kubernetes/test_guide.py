"""docs/kubernetes.md: what it says to write renders, and what it says to run is understood."""

import re
import shutil
import textwrap
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from harness.host.processes import Run, attempt
from harness.node.install import SOURCE
from harness.node.requirements import program
from tests.kubernetes import rendered
from tests.kubernetes.rendered import Object

SCHEMA = "1.30"
POLICY = "runc-wrap-policy"
OWN = '[[rule]]\nname = "own"\nnamespace = ["team"]\nmode = "off"\n'
# Each overlay, the names of its policies, and its modes, which stay beside a policy of one's own.
OVERLAYS = {
    "audit": ([POLICY], {"audit"}),
    "enforce": ([POLICY], {"enforce"}),
    "per-pool": ([f"{POLICY}-canary", f"{POLICY}-rest"], {"audit", "enforce"}),
    "uninstall": ([POLICY], None),
}


@cache
def _blocks(guide: str) -> list[str]:
    """Return the indented blocks of a guide, without their indentation."""
    text = (SOURCE / "docs" / guide).read_text()
    found = re.findall(r"(?:^(?:    .*)?\n)+", text, flags=re.MULTILINE)
    return [textwrap.dedent(one).strip() for one in found if one.strip()]


def _snippets(*, pools: bool) -> list[Any]:
    """Return the guide's parts of a kustomization.yaml, in order; the first names an overlay.

    With pools, their policies stand in the place of the one policy.
    """
    named = [one for one in _blocks("kubernetes.md") if one.startswith("# kustomization.yaml")]
    found = []
    for head, one in ((one.splitlines()[0], yaml.safe_load(one)) for one in named):
        if pools and "configMapGenerator" in one:
            maps = [each for each in one["configMapGenerator"] if each["name"] != POLICY]
            found.append({**one, "configMapGenerator": maps})
        elif pools or "for pools" not in head:
            found.append(one)
    return found


def _merged(*, pools: bool) -> dict[str, list[Any]]:
    """Return the guide's kustomization, in the order of its steps."""
    merged: dict[str, list[Any]] = {}
    for one in _snippets(pools=pools):
        for key, value in one.items():
            merged.setdefault(key, []).extend(value)
    return merged


def _rendered(place: Path, overlay: str) -> list[Object]:
    """Return what the guide's kustomization makes of an overlay."""
    merged = _merged(pools=overlay == "per-pool")
    if overlay == "uninstall":
        merged.pop("components", None)  # as the guide says
    done = _made(place, merged, overlay)
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    for one in objects:
        if one["kind"] != "PodMonitor":  # of the Prometheus Operator (test_manifests)
            kubernetes_validate.validate(one, SCHEMA, strict=True)
    return objects


def _made(place: Path, merged: dict[str, list[Any]], overlay: str) -> Run:
    """Run kustomize with the guide's kustomization, in which another overlay is named."""
    shutil.copytree(rendered.DIRECTORY, place / "deploy" / "kubernetes")
    assert merged["resources"] == ["deploy/kubernetes/overlays/audit"]
    named = {**merged, "resources": [f"deploy/kubernetes/overlays/{overlay}"]}
    (place / "kustomization.yaml").write_text(yaml.safe_dump(named))
    (place / "config.toml").write_text(OWN)
    (place / "web.json").write_text("{}")
    return attempt([program("kubectl"), "kustomize", place])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_that_the_guide_adds_renders_together(tmp_path: Path, overlay: str) -> None:
    objects = _rendered(tmp_path, overlay)
    maps = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap"}
    for one in objects:
        if one["kind"] == "DaemonSet":
            pod = rendered.pod(one)
            assert pod["containers"][0]["image"].startswith("REGISTRY/runc-wrap:")
            assert {"key": "nvidia.com/gpu", "operator": "Exists"} in pod["tolerations"]
            assert one["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == "10%"
            mounted = [volume["configMap"]["name"] for volume in pod["volumes"]
                       if "configMap" in volume]  # fmt: skip
            assert [[*maps[name]] for name in mounted] == [
                ["config.toml"], ["0-mode.toml"], ["web.json"]]  # fmt: skip
    names, modes = OVERLAYS[overlay]
    policies = {name: data["config.toml"] for name, data in maps.items() if "config.toml" in data}
    assert sorted(name.rpartition("-")[0] for name in policies) == names
    assert {*policies.values()} == {OWN}
    texts = [tomllib.loads(data["0-mode.toml"]) for data in maps.values() if "0-mode.toml" in data]
    assert modes is None or {one["default"]["mode"] for one in texts} == modes
