"""What kubectl makes of deploy/kubernetes: the objects of an overlay."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from harness.host.processes import run
from harness.node.install import SOURCE
from harness.node.requirements import program

DIRECTORY = SOURCE / "deploy" / "kubernetes"
OVERLAYS = ("base", *(f"overlays/{name}" for name in
                      ("audit", "enforce", "per-pool", "taint", "uninstall")))  # fmt: skip

Object = dict[str, Any]


@cache
def text(overlay: str) -> str:
    return run([program("kubectl"), "kustomize", DIRECTORY / overlay]).stdout


def own(place: Path, *resources: str, components: Iterable[str] = (), **more: Any) -> str:
    """Write a kustomization of our directories into an empty one; return that as an overlay."""

    def ours(names: Iterable[str]) -> list[str]:
        return [os.path.relpath(DIRECTORY / name, place.resolve()) for name in names]

    document = {"resources": ours(resources), "components": ours(components), **more}
    (place / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return str(place)


def objects(overlay: str) -> list[Object]:
    return list(yaml.safe_load_all(text(overlay)))


def of_kind(overlay: str, kind: str) -> list[Object]:
    return [one for one in objects(overlay) if one["kind"] == kind]


def pod(daemonset: Object) -> Object:
    spec: Object = daemonset["spec"]["template"]["spec"]
    return spec
