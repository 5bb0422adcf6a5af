"""The cluster's policy on its way to the node: the mounted files, a candidate, PREFIX/etc.

The pod copies the mounted files into a candidate beneath PREFIX/var/cluster. On the host
`runc-wrapctl cluster apply` checks it as `apply` checks PREFIX/etc, and only then puts it there.
The node's own conf.d counts too. What the cluster wrote is recorded by digest, so that a file that
somebody else wrote is never replaced.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runc_wrap import safe_text as shown
from runc_wrap.apply import apply_policy
from runc_wrap.cluster.cluster_policy import etc_files
from runc_wrap.host import files
from runc_wrap.host.locks import locked
from runc_wrap.node.paths import Candidate

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.paths import Places
    from runc_wrap.policy.policy_compiler import Compiled

CONFIG, PROFILES, MODE = etc_files.CONFIG, etc_files.PROFILES, etc_files.MODE
LARGEST = 1 << 20  # bytes of all files: what a ConfigMap may have
_PROFILE = re.compile(rf"{PROFILES}/[\w-][\w.-]{{0,252}}\.json", re.ASCII).fullmatch  # its keys
_MOST = 256  # profiles
_LONGEST = 200  # characters of a name in a sentence
_CANDIDATE = "policy"
_RECORD = "policy.json"
_CONF_D, _, _MODE_KEY = MODE.partition("/")
_TWO_MODES = (
    f"config.toml sets default.mode, and so does the overlay ({_MODE_KEY} of the ConfigMap "
    "runc-wrap-mode); take it out of config.toml, or name the base instead of the overlay"
)


class PolicyNotTaken(Exception):
    """The policy cannot be put in force, and the one before still is; the message is a sentence."""


Files = dict[str, bytes]  # name beneath PREFIX/etc -> content


def mounted(config: Path, profiles: Path) -> Files:
    """Return the files of the mounted ConfigMaps. Raises PolicyNotTaken.

    The overlay's mode lies beside the profiles, in conf.d. The kubelet mounts each key as a link;
    what begins with a dot is its own. Without config.toml the default would be in force, which
    enforces: who misspells the key does not ask for that.
    """
    found = _read(config, "", (CONFIG,))
    if CONFIG not in found:
        raise PolicyNotTaken(f"the ConfigMap of the policy has no {CONFIG}; add that key to it")
    found |= _read(profiles.parent, "", (MODE,))
    if MODE not in found and (profiles.parent / _CONF_D).is_dir():
        raise PolicyNotTaken(f"the ConfigMap of the overlay's mode has no {_MODE_KEY}; add it")
    for settings in found.values():
        _refuse_paths(settings)
    names = tuple(sorted(one.name for one in _listed(profiles) if one.name.endswith(".json")))
    found |= _read(profiles, f"{PROFILES}/", names)
    if sum(map(len, found.values())) > LARGEST:
        raise PolicyNotTaken(f"the policy has more than {LARGEST} bytes; leave profiles out")
    return found


def _refuse_paths(settings: bytes) -> None:
    """Refuse a runtime by its path: who writes a ConfigMap would say which file root executes.

    A container's root is root's, too, and its root file system a path of the host.
    """
    try:
        named = tomllib.loads(settings.decode()).get("runtime")
    except ValueError:  # its own sentence follows
        return
    for name in named if isinstance(named, list) else ():
        if "/" in str(name):
            raise PolicyNotTaken(
                f"runtime names the path {shown.name(str(name), _LONGEST)}; in a cluster it takes "
                "names (runc, crun), which are looked up in the usual directories and in those of "
                "CRI-O, k3s, RKE2 and k0s; write the name, or the path in the node's own conf.d"
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
    return hashlib.sha256(json.dumps(_sums(found), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Record:
    """What the cluster wrote last: the policy's digest, and {name: digest of the file}.

    `begun` is the same of what it began to write, in case it was killed then.
    """

    digest: str = ""
    files: dict[str, str] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)


def record(places: Places) -> Record:
    """Return the record; an empty one if there is none that can be read."""
    try:
        found = json.loads(files.read(places.cluster / _RECORD, LARGEST))
        each = ({str(k): str(v) for k, v in found[name].items()} for name in ("files", "begun"))
        return Record(str(found["digest"]), *each)
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return Record()


def edit(places: Places, wanted: Files) -> str:
    """Return which file of the node is in the way, as the cluster did not write it; "" for none."""
    known = record(places)
    for name in sorted({*known.files, *known.begun, *wanted}):
        path = places.etc / name
        ours = (known.files.get(name), known.begun.get(name), _sum(wanted.get(name)))
        found = _digest_of(path)
        if found is not None and found not in ours:
            advice = f"move it to {_CONF_D}" if name == CONFIG else "give it another name"
            return f"{path} is not what the cluster wrote; {advice}, or remove it"
    return ""


def _digest_of(path: Path) -> str | None:
    try:
        return _sum(files.read(path, LARGEST))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return "unreadable"


def _sum(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


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
    if sum(map(len, found.values())) > LARGEST:
        raise PolicyNotTaken(f"the policy has more than {LARGEST} bytes; leave profiles out")
    return found


def mode_in_force(places: Places) -> Files:
    """Return the file with the overlay's mode that the cluster wrote last, {} if it wrote none."""
    return _read(places.etc, "", (MODE,)) if MODE in record(places).files else {}


def write_candidate(places: Places, found: Files, name: str = _CANDIDATE) -> Path:
    """Write a candidate beneath PREFIX/var/cluster and return its directory. Raises OSError."""
    to = places.cluster / name
    shutil.rmtree(to, ignore_errors=True)
    (to / PROFILES).mkdir(mode=0o700, parents=True)
    for each, data in found.items():
        (to / each).parent.mkdir(mode=0o700, exist_ok=True)
        files.replace(to / each, data, etc_files.FILE_MODE)
    return to


def candidate_config(places: Places) -> Path:
    """Return the candidate's config.toml."""
    return places.cluster / _CANDIDATE / CONFIG


def lay_down(places: Places) -> None:
    """Check the candidate and write it to PREFIX/etc, before a release is in force: on the host.

    So install.sh compiles it, and not the default. It counts as begun only: `put_in_force` follows.
    Raises PolicyNotTaken and OSError.
    """
    with locked(places.var, "cluster"):
        wanted = _checked_candidate(places)
        former, known = _former(places, wanted), record(places)
        _save(places, Record(known.digest, known.files, _sums(wanted)))
        etc_files.write(places.etc, wanted, former)


def put_in_force(places: Places) -> list[str]:
    """Check the candidate, write it to PREFIX/etc and put it in force: on the host.

    Return remarks for the owner, as those of `apply`. Raises PolicyNotTaken and OSError, and then
    everything is as it was.
    """
    with locked(places.var, "cluster"):
        wanted = _checked_candidate(places)
        former, known = _former(places, wanted), record(places)
        _save(places, Record(known.digest, known.files, _sums(wanted)))
        try:
            etc_files.write(places.etc, wanted, former)
            compiled, remarks = apply_policy.put_in_force(places)
        except BaseException as error:
            etc_files.write(
                places.etc, {n: d for n, d in former.items() if d is not None}, {**former, **wanted}
            )
            if isinstance(error, apply_policy.FAILURES) and not isinstance(error, OSError):
                raise PolicyNotTaken(str(error)) from error
            raise
        _save(places, Record(digest(wanted), _sums(wanted)))
    return [*remarks, *apply_policy.kept_defaults(places, compiled)]


def _checked_candidate(places: Places) -> Files:
    """Return the candidate, which checks. Raises PolicyNotTaken and OSError."""
    candidate = places.cluster / _CANDIDATE
    wanted = mounted(candidate, candidate / PROFILES)
    if why := edit(places, wanted):
        raise PolicyNotTaken(why)
    check(places, wanted, places.cluster / "etc")
    return wanted


def check(places: Places, wanted: Files, trial: Path) -> tuple[Compiled, list[str]]:
    """Check the node's etc as it would be, in the directory `trial`; return what `apply` does.

    Raises PolicyNotTaken and OSError.
    """
    if None not in (etc_files.mode(wanted.get(name)) for name in (CONFIG, MODE)):
        raise PolicyNotTaken(_TWO_MODES)
    known = record(places)
    shutil.rmtree(trial, ignore_errors=True)
    try:
        etc_files.copy(places.etc, trial)
        for name in {*known.files, *known.begun}:
            (trial / name).unlink(missing_ok=True)
        for name, data in wanted.items():
            files.replace(trial / name, data, etc_files.FILE_MODE)
        return apply_policy.check(Candidate(places.prefix, trial))
    except apply_policy.FAILURES as error:
        if isinstance(error, OSError):
            raise
        raise PolicyNotTaken(str(error).replace(f"{trial}/", "")) from error
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _former(places: Places, wanted: Files) -> dict[str, bytes | None]:
    """Return what the files have that will be written or removed, None for those that are not."""
    found: dict[str, bytes | None] = {}
    known = record(places)
    for name in {*known.files, *known.begun, *wanted}:
        try:
            found[name] = files.read(places.etc / name, LARGEST)
        except FileNotFoundError:
            found[name] = None
    return found


def _sums(found: Files) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def _save(places: Places, new: Record) -> None:
    files.replace(places.cluster / _RECORD, json.dumps(vars(new)).encode())


def is_all_ours(places: Places) -> bool:
    """Tell whether all of PREFIX/etc is what the cluster wrote, so that it goes with the rest."""
    known = record(places).files
    there = [path for path in places.etc.rglob("*") if not path.is_dir()]
    return all(known.get(str(one.relative_to(places.etc))) == _digest_of(one) for one in there)
