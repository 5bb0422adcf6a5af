"""The policy that nodes are asked about: from files here, or from ConfigMaps of the cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from runc_wrap import safe_text
from runc_wrap.cluster.cluster_policy.configmap_policy import LARGEST, MODE
from runc_wrap.documents.constraints import Most
from runc_wrap.documents.reader import DocumentError, read, record
from runc_wrap.failure import Failure
from runc_wrap.fleet.kubectl import KubectlError
from runc_wrap.host import files
from runc_wrap.policy.settings.policy_sources import CONFIG, PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runc_wrap.fleet.kubectl import Kubectl

_MODE_KEY = Path(MODE).name
_PROFILE = ".json"
_SECONDS = 60.0
_LARGEST_OBJECT = 8 * LARGEST  # bytes: JSON escapes each by six at most


@record
class _ConfigMap:
    data: dict[str, Annotated[str, Most(LARGEST)]]


def of_files(paths: Iterable[Path]) -> dict[str, str]:
    """Return files by their places on a node, and the directory `profiles` beside a config.toml.

    What begins with a dot is an editor's, say, and no node takes it. Raises Failure.
    """
    found: dict[str, str] = {}
    for path in paths:
        place = _place(path.name) or CONFIG
        if place in found:
            raise Failure(f"{path} is a second {place}; give one")
        found[place] = _text(path)
        own = sorted((path.parent / PROFILES).glob(f"[!.]*{_PROFILE}")) if place == CONFIG else ()
        found |= {f"{PROFILES}/{one.name}": _text(one) for one in own}
    return found


def of_config_maps(kubectl: Kubectl, namespace: str, names: Iterable[str]) -> dict[str, str]:
    """Return what these ConfigMaps bring to the installer. Raises Failure and KubectlError."""
    found: dict[str, str] = {}
    for name in names:
        words = ("get", "configmap", name, "--namespace", namespace, "--output=json")
        printed = kubectl.run(*words, seconds=_SECONDS, largest=_LARGEST_OBJECT)
        try:
            data = read(_ConfigMap, printed).data
        except DocumentError as error:
            what = f"the ConfigMap {safe_text.word(name)} has no data"
            raise KubectlError(f"{what} ({error})") from None
        found |= {place: text for key, text in data.items() if (place := _place(key))}
    return found


def _place(name: str) -> str:
    """Return where a file of this name belongs on a node, "" if nowhere."""
    if name.endswith(_PROFILE) and not name.startswith("."):
        return f"{PROFILES}/{name}"
    return {CONFIG: CONFIG, _MODE_KEY: MODE}.get(name, "")


def _text(path: Path) -> str:
    try:
        return files.read(path, LARGEST, follows=True).decode()
    except UnicodeDecodeError:
        raise Failure(f"{path} is not UTF-8, which a ConfigMap needs") from None
    except ValueError as error:
        raise Failure(str(error)) from error


def line(found: Mapping[str, str]) -> bytes:
    """Return the files as they are sent to a node: one line. Raises Failure."""
    if CONFIG not in found:
        raise Failure(f"there is no {CONFIG}; give it by -f or --config-map")
    if (size := sum(len(one.encode()) for one in found.values())) > LARGEST:
        raise Failure(f"the policy has {size} bytes, more than the {LARGEST} of a ConfigMap")
    return json.dumps(found).encode() + b"\n"
