"""The policy that is to be checked, from a config.toml or from manifests: the files that nodes get.

Manifests are read by kubectl itself, without the API server, so that no YAML is parsed here.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from runc_wrap import text
from runc_wrap.host import files
from runc_wrap.node.cluster.policy_files import CONFIG, LARGEST, PROFILES
from runc_wrap.report.merge import document_stream

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.fleet.kubectl import Kubectl

Json = dict[str, Any]
Files = dict[str, str]
OWN = "runc-wrap-profiles"  # the ConfigMap; kustomize puts a digest behind its name
_SECONDS = 60.0
_MOST = 256  # profiles
# An annotation, that nobody sees: of kubectl's commands one that prints what it has read
_READ = ("annotate", "--local", "--overwrite", "--output=json", "runc-wrap.dev/read=1", "-f")


class NoPolicy(Exception):
    """There is no policy in what was given; the message is a sentence."""


def of_file(path: Path) -> Files:
    """Return config.toml, and the profiles in the directory `profiles` beside it.

    Raises NoPolicy.
    """
    found = {CONFIG: _text(path)}
    try:
        own = sorted((path.parent / PROFILES).glob("*.json"))
    except OSError as error:
        raise NoPolicy(f"{path.parent / PROFILES} cannot be listed: {error.strerror}") from error
    if len(own) > _MOST:
        raise NoPolicy(f"{path.parent / PROFILES} has {len(own)} profiles; at most {_MOST}")
    return _fitting(found | {f"{PROFILES}/{one.name}": _text(one) for one in own})


def _text(path: Path) -> str:
    try:
        return files.read(path, LARGEST, follows=True).decode()
    except UnicodeDecodeError:
        raise NoPolicy(f"{path} is not UTF-8, which a ConfigMap needs") from None
    except (OSError, ValueError) as error:
        raise NoPolicy(f"{path} cannot be read: {error}") from error


def of_manifests(kubectl: Kubectl, manifests: bytes, named: str | None) -> Files:
    """Return what the ConfigMaps among manifests bring; `named` says which, if several do.

    Raises NoPolicy and KubectlError.
    """
    printed = kubectl.run(
        *_READ, "-", seconds=_SECONDS, largest=document_stream.LARGEST, given=manifests
    )
    objects = _objects(printed)
    maps = {_name(one): _data(one) for one in objects if one.get("kind") == "ConfigMap"}
    name = _policy(maps, named)
    found = {CONFIG: maps[name][CONFIG]}
    for own in _profiles(objects, maps, name):
        found |= {f"{PROFILES}/{k}": v for k, v in own.items() if k.endswith(".json")}
    return _fitting(found)


def _objects(printed: bytes) -> list[Json]:
    found = document_stream.documents(io.BytesIO(printed).read)
    values = [one.value for one in found if isinstance(one, document_stream.Document)]
    return [one for one in values if isinstance(one, dict)]


def _policy(maps: dict[str, dict[str, str]], named: str | None) -> str:
    """Return the name of the ConfigMap that is meant. Raises NoPolicy."""
    having = [name for name, data in maps.items() if CONFIG in data and named in (None, name)]
    if len(having) == 1:
        return having[0]
    if having:
        names = ", ".join(map(text.word, having[:10]))
        raise NoPolicy(f"there are several policies ({names}); say which one by --config-map NAME")
    which = "" if named is None else f" {text.word(named)}"
    raise NoPolicy(f"there is no ConfigMap{which} with the key {CONFIG}")


def _profiles(
    objects: list[Json], maps: dict[str, dict[str, str]], policy: str
) -> list[dict[str, str]]:
    """Return the ConfigMaps of profiles that go with a policy.

    Those that a DaemonSet mounts beside it; without one among the manifests, all of that name.
    """
    for one in objects:
        mounted = _mounted(one)
        if policy in mounted:
            return [maps[name] for name in mounted if name in maps and name != policy]
    return [data for name, data in maps.items() if name.startswith(OWN)]


def _mounted(found: Json) -> list[str]:
    """Return the names of the ConfigMaps that a DaemonSet mounts, none of another object."""
    try:
        volumes = found["spec"]["template"]["spec"]["volumes"]
        return [one["configMap"]["name"] for one in volumes if "configMap" in one]
    except (KeyError, TypeError):
        return []


def _name(found: Json) -> str:
    metadata = found.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def _data(found: Json) -> dict[str, str]:
    data = found.get("data")
    return {k: v for k, v in data.items() if isinstance(v, str)} if isinstance(data, dict) else {}


def _fitting(found: Files) -> Files:
    size = sum(len(one.encode()) for one in found.values())
    if size > LARGEST:
        raise NoPolicy(f"the policy has {size} bytes, more than the {LARGEST} of a ConfigMap")
    return found


def sent(found: Files) -> bytes:
    """Return the files as they are sent to a node: one line."""
    return json.dumps(found).encode() + b"\n"
