"""The policy that is to be checked, from a config.toml or from manifests: the files that nodes get.

Manifests are read by kubectl itself, without the API server, so that no YAML is parsed here.
"""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

from runc_wrap import text
from runc_wrap.fleet import daemonset_pools, taints
from runc_wrap.fleet.daemonset_pools import Pool
from runc_wrap.host import files
from runc_wrap.node.cluster.cluster_policy.policy_files import CONFIG, LARGEST, MODE, PROFILES
from runc_wrap.report.merge import document_stream

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from runc_wrap.fleet.kubectl import Kubectl
    from runc_wrap.fleet.taints import Toleration

Json = dict[str, Any]
Files = dict[str, str]
Map = dict[str, str | None]  # a ConfigMap's keys; None is binaryData
OWN = "runc-wrap-profiles"  # the ConfigMap; kustomize puts a digest behind its name
OVERLAYS = "runc-wrap-mode"  # the ConfigMap with the overlay's mode, by the file's name
_DIGEST = re.compile(r"-[a-z0-9]{10}").fullmatch  # that kustomize puts there
_MODE_KEY = MODE.rpartition("/")[2]
_SECONDS = 60.0
_MOST = 256  # profiles
# An annotation, that nobody sees: of kubectl's commands one that prints what it has read
_READ = ("annotate", "--local", "--overwrite", "--output=json", "runc-wrap.dev/read=1", "-f")


class NoPolicy(Exception):
    """There is no policy in what was given; the message is a sentence."""


def of_file(path: Path) -> Files:
    """Return config.toml, and the profiles in the directory `profiles` beside it.

    What begins with a dot is an editor's, say, and no node takes it. Raises NoPolicy.
    """
    found = {CONFIG: _text(path)}
    try:
        own = sorted((path.parent / PROFILES).glob("[!.]*.json"))
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


def of_manifests(
    kubectl: Kubectl, manifests: bytes, named: str | None, namespace: str
) -> list[Pool]:
    """Return what the ConfigMaps among manifests bring to the installer in a namespace.

    Several DaemonSets that bring different files are pools. `named` says which ConfigMap, with or
    without kustomize's digest, if several have a policy and DaemonSets do not tell. The overlay's
    mode is "" if they bring none. Raises NoPolicy and KubectlError.
    """
    printed = kubectl.run(
        *_READ, "-", seconds=_SECONDS, largest=document_stream.LARGEST, given=manifests
    )
    objects = [one for one in _objects(printed) if _namespace(one) in ("", namespace)]
    maps = _maps(objects)
    having = [name for name, data in maps.items() if CONFIG in data and _is_named(name, named)]
    having = [name for name in having if name == named] or having
    theirs = [one for one in objects if _is_daemonset(one) and _policies_of(one, having)]
    if len(theirs) > 1:
        return _pools(theirs, maps, having)
    name = _single(having, named, namespace)
    return [_alone(_brought(maps, name, _profiles(objects, maps, name)), theirs)]


def _pools(theirs: list[Json], maps: dict[str, Map], having: list[str]) -> list[Pool]:
    """Return what each of several DaemonSets brings; one pool if all bring the same files."""
    found = []
    for one in theirs:
        policy = _single(_policies_of(one, having))
        found.append(Pool(_name(one), _brought(maps, policy, _mounted_profiles(one, maps, policy))))
    if all(pool.files == found[0].files for pool in found):
        return [_alone(found[0].files, theirs)]
    return [
        pool._replace(selectors=_selectors(one), tolerations=_tolerations(one))
        for one, pool in zip(theirs, found, strict=True)
    ]


def _alone(brought: Files, theirs: list[Json]) -> Pool:
    """Return what all nodes get; what these DaemonSets tolerate is known if it is the same."""
    tolerated = {_tolerations(one) for one in theirs}
    return Pool("", brought, tolerations=tolerated.pop() if len(tolerated) == 1 else None)


def _tolerations(daemonset: Json) -> tuple[Toleration, ...]:
    return taints.tolerations(_within(daemonset, "spec", "template", "spec"))


def _selectors(daemonset: Json) -> tuple[str, ...]:
    spec = _within(daemonset, "spec", "template", "spec")
    try:
        return daemonset_pools.selectors(_name(daemonset), spec if isinstance(spec, dict) else {})
    except daemonset_pools.NotSelectable as error:
        raise NoPolicy(str(error)) from None


def _is_daemonset(one: Json) -> bool:
    return one.get("kind") == "DaemonSet"


def _policies_of(daemonset: Json, having: Collection[str]) -> list[str]:
    """Return which policies a DaemonSet mounts."""
    return [name for name, _ in _mounted(daemonset) if name in having]


def _brought(maps: dict[str, Map], name: str, profiles: Iterable[str]) -> Files:
    """Return a policy's files and those of its profiles. Raises NoPolicy."""
    found = {CONFIG: _as_text(name, CONFIG, maps[name][CONFIG]), MODE: ""}
    for own in profiles:
        for key, value in maps[own].items():
            if key == _MODE_KEY:
                found[MODE] = _as_text(own, key, value)
            elif key.endswith(".json") and not key.startswith("."):
                found[f"{PROFILES}/{key}"] = _as_text(own, key, value)
    return _fitting(found)


def _objects(printed: bytes) -> list[Json]:
    found = document_stream.documents(io.BytesIO(printed).read)
    values = [one.value for one in found if isinstance(one, document_stream.Document)]
    return [one for one in values if isinstance(one, dict)]


def _maps(objects: list[Json]) -> dict[str, Map]:
    """Return the ConfigMaps by name. Raises NoPolicy for two of one name."""
    found: dict[str, Map] = {}
    for one in objects:
        if one.get("kind") != "ConfigMap":
            continue
        if (name := _name(one)) in found:
            raise NoPolicy(f"there are two ConfigMaps {text.word(name)}; leave one out")
        found[name] = _data(one)
    return found


def _single(having: Sequence[str], named: str | None = None, namespace: str = "") -> str:
    """Return the name of the ConfigMap that is meant. Raises NoPolicy."""
    if len(having) == 1:
        return having[0]
    if having:
        names = ", ".join(map(text.word, having[:10]))
        raise NoPolicy(f"there are several policies ({names}); say which one by --config-map NAME")
    which = "" if named is None else f" {text.word(named)}"
    where = f"for the installer's namespace, {text.word(namespace)}"
    raise NoPolicy(f"there is no ConfigMap{which} with the key {CONFIG} {where}")


def _is_named(name: str, named: str | None) -> bool:
    """Return whether a ConfigMap is meant; by a name as it was before kustomize, too."""
    return named in (None, name) or bool(_DIGEST(name.removeprefix(str(named))))


def _as_text(name: str, key: str, value: str | None) -> str:
    if value is None:
        what = f"{text.word(key)} of the ConfigMap {text.word(name)}"
        raise NoPolicy(f"{what} is binaryData; a policy and its profiles are text, in `data`")
    return value


def _profiles(objects: list[Json], maps: dict[str, Map], policy: str) -> list[str]:
    """Return the names of the ConfigMaps of profiles and mode that go with a policy.

    Those that a DaemonSet mounts beside it; without one among the manifests, all of those names.
    Raises NoPolicy.
    """
    for one in objects:
        if _policies_of(one, [policy]):
            return _mounted_profiles(one, maps, policy)
    return [name for name in maps if name.startswith((OWN, OVERLAYS))]


def _mounted_profiles(daemonset: Json, maps: dict[str, Map], policy: str) -> list[str]:
    """Return the names of the ConfigMaps that are mounted beside a policy. Raises NoPolicy."""
    mounted = {name: why for name, why in _mounted(daemonset) if name in maps}
    for name, why in mounted.items():
        if why:
            raise NoPolicy(f"{why} {text.word(name)}, where it cannot be followed")
    return [name for name in mounted if name != policy]


def _mounted(found: Json) -> Iterator[tuple[str, str]]:
    """Yield the ConfigMaps that a DaemonSet mounts, none of another object.

    With each the beginning of a sentence if not all of its keys are mounted by their names.
    """
    for volume in _each(_within(found, "spec", "template", "spec", "volumes")):
        of = f"the volume {text.word(str(volume.get('name')))}"
        if isinstance(source := volume.get("configMap"), dict):
            yield str(source.get("name")), f"{of} picks items of" if source.get("items") else ""
        for source in _each(_within(volume, "projected", "sources")):
            yield str(_within(source, "configMap", "name")), f"{of} projects"


def _within(found: object, *keys: str) -> object:
    """Return what stands there, None if nothing does."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _each(found: object) -> list[Json]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _name(found: Json) -> str:
    return str(_within(found, "metadata", "name") or "")


def _namespace(found: Json) -> str:
    return str(_within(found, "metadata", "namespace") or "")


def _data(found: Json) -> Map:
    data, binary = _within(found, "data"), _within(found, "binaryData")
    texts = data.items() if isinstance(data, dict) else ()
    named = dict.fromkeys(binary) if isinstance(binary, dict) else {}
    return named | {key: value for key, value in texts if isinstance(value, str)}


def _fitting(found: Files) -> Files:
    size = sum(len(one.encode()) for one in found.values())
    if size > LARGEST:
        raise NoPolicy(f"the policy has {size} bytes, more than the {LARGEST} of a ConfigMap")
    return found


def sent(found: Files) -> bytes:
    """Return the files as they are sent to a node: one line."""
    return json.dumps(found).encode() + b"\n"
