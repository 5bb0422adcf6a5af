"""The files of a policy as a cluster sends them: from mounted ConfigMaps, or to be checked."""

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from runc_wrap import safe_text as shown
from runc_wrap.failure import Failure
from runc_wrap.host import files
from runc_wrap.policy.settings.policy_sources import CONFIG, CONFIG_DIRECTORY, PROFILES

MODE = f"{CONFIG_DIRECTORY}/0-mode.toml"  # the overlay's: read after config.toml
LARGEST = 1 << 20  # bytes of all files: what a ConfigMap may have
_PROFILE = re.compile(rf"{PROFILES}/[\w-][\w.-]{{0,252}}\.json", re.ASCII).fullmatch  # its keys
_MOST = 256  # profiles
_LONGEST = 200  # characters of a name in a sentence
_MODE_KEY = MODE.partition("/")[2]
_TWO_MODES = (
    "config.toml sets default.mode, and so does the overlay (the ConfigMap runc-wrap-mode); take "
    "it out of config.toml, or name the base instead of the overlay"
)


class PolicyNotTaken(Failure):
    """The policy cannot be put in force, and the one before still is; the message is a sentence."""


Files = dict[str, bytes]  # name in a directory of the policy -> content


def mounted(config: Path, profiles: Path) -> Files:
    """Return the files of the mounted ConfigMaps. Raises PolicyNotTaken.

    The overlay's mode lies beside the profiles, in conf.d. The kubelet mounts each key as a link;
    what begins with a dot is its own. Without config.toml the default would be in force, which
    enforces: who misspells the key does not ask for that.
    """
    found = _read(config, "", (CONFIG,)) | _read(profiles.parent, "", (MODE,))
    if CONFIG not in found:
        raise PolicyNotTaken(f"the ConfigMap of the policy has no {CONFIG}; add that key to it")
    if MODE not in found and (profiles.parent / CONFIG_DIRECTORY).is_dir():
        raise PolicyNotTaken(f"the ConfigMap of the overlay's mode has no {_MODE_KEY}; add it")
    for settings in found.values():
        _refuse_paths(settings)
    names = tuple(sorted(one.name for one in _listed(profiles) if one.name.endswith(".json")))
    return _bounded(found | _read(profiles, f"{PROFILES}/", names))


def _bounded(found: Files) -> Files:
    if sum(map(len, found.values())) > LARGEST:
        raise PolicyNotTaken(f"the policy has more than {LARGEST} bytes; leave profiles out")
    return found


def _set_by(settings: bytes) -> dict[str, Any]:
    """Return what a file of settings sets, {} if it is none: `apply` says what is wrong."""
    try:
        return tomllib.loads(settings.decode())
    except (ValueError, RecursionError):
        return {}


def _refuse_paths(settings: bytes) -> None:
    """Refuse a runtime by its path: who writes a ConfigMap would say which file root executes.

    A container's root is root's, too, and its root file system a path of the host.
    """
    named = _set_by(settings).get("runtime")
    for name in named if isinstance(named, list) else ():
        if "/" in str(name):
            raise PolicyNotTaken(
                f"runtime names the path {shown.name(str(name), _LONGEST)}; in a cluster it takes "
                "names (runc, crun); write the name, or the path in the node's own conf.d"
            )


def _listed(directory: Path) -> list[Path]:
    try:
        found = [one for one in directory.iterdir() if not one.name.startswith(".")]
    except FileNotFoundError:  # the ConfigMap is optional
        return []
    except OSError as error:
        raise PolicyNotTaken(f"{directory} cannot be read: {error.strerror}") from error
    if len(found) > _MOST:
        raise PolicyNotTaken(f"{directory} has {len(found)} files; at most {_MOST} are taken")
    return found


def _read(directory: Path, prefix: str, names: tuple[str, ...]) -> Files:
    found = {}
    for name in names:
        try:
            found[prefix + name] = files.read(directory / name, LARGEST, follows=True)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise PolicyNotTaken(f"{directory / name} cannot be read: {error}") from error
    return found


def digest(found: Files) -> str:
    """Return a digest of names and contents."""
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()


def refuse_two_modes(found: Files) -> None:
    """Raise PolicyNotTaken if both config.toml and the overlay set the default's mode."""
    defaults = [_set_by(found.get(name, b"")).get("default") for name in (CONFIG, MODE)]
    if all(isinstance(each, dict) and "mode" in each for each in defaults):
        raise PolicyNotTaken(_TWO_MODES)


def received(sent: bytes) -> Files:
    """Return the files of a policy that was sent to be checked: {name: text}, as JSON.

    Only names that a ConfigMap can bring are taken. Raises PolicyNotTaken.
    """
    try:
        found = {str(name): text.encode() for name, text in json.loads(sent).items()}
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise PolicyNotTaken(f"what was sent is no policy: {error}") from error
    for name in found:
        if name not in (CONFIG, MODE) and not _PROFILE(name):
            raise PolicyNotTaken(f"{shown.word(name)} is neither {CONFIG} nor {PROFILES}/NAME.json")
    if CONFIG not in found or len(found.keys() - {CONFIG, MODE}) > _MOST:
        raise PolicyNotTaken(f"a policy is {CONFIG} and at most {_MOST} profiles")
    return _bounded(found)
