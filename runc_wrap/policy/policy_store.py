"""Putting a compiled policy in force: a new directory for each, and one link that is switched.

var/policy.2/N/policy.json  sources.json  profiles/*.json   2 is hotpath.policy_file.VERSION
var/policy.2/N/engine-defaults.json  {calling engine: what counts as its default in a config}
var/policy.2/N/compiled.json  {what `in_force` returns, the digests of its inputs and of the files}
var/policy.2/N/run-unmodified   exists if that is on_error; for the launcher, which reads no JSON
var/policy.2/current -> N
lib/runtime/runc or crun -> the real runtime, which the launcher follows
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runc_wrap.documents.reader import read
from runc_wrap.host import files
from runc_wrap.host.files import sync
from runc_wrap.host.locks import locked
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.block_equivalence import AS_APPLIED
from runc_wrap.hotpath.compiled_policy import Runtime
from runc_wrap.hotpath.policy_file import VERSION, file_name
from runc_wrap.policy.candidate_settings import CandidateCost, Pair
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.policy.settings.policy_sources import SOURCES
from runc_wrap.policy.settings.schema import RUN_UNMODIFIED

_ENGINE_DEFAULTS = "engine-defaults.json"  # apart from policy.json, which each create reads
_COMPILED = "compiled.json"
_LARGEST, _LARGEST_PROFILE = 64 * 1024, 64 << 20
_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644  # regardless of umask, since rootless engines read them


def put_in_force(
    compiled: Compiled, prefix: Path, sources: Mapping[str, str] | None = None, inputs: str = ""
) -> None:
    """Write the compiled policy and switch to it atomically; on any error the old one stays.

    `sources` is the result of `policy_sources.snapshot` from before they were read, `inputs` the
    digest of all that was compiled. What `in_force` returned is not written again. Raises
    PolicyError if that is no longer in force.
    """
    directory = prefix / "var" / f"policy.{VERSION}"
    directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    with locked(prefix / "var", "policy"):
        if compiled.profiles:
            _replace(compiled, directory, {SOURCES: dict(sources or {}), _COMPILED: inputs})
        elif not _recorded(directory / "current", inputs):
            raise PolicyError("Another apply has put other settings in force; run it again.")
        _link_runtime(compiled.policy["runtime"], prefix / "lib" / "runtime")


def in_force(current: Path, inputs: str) -> Compiled | None:
    """Return the policy in force, without profiles, if these are its inputs.

    None also if a file of it is not as it was written.
    """
    found = _recorded(current, inputs)
    try:
        if not found or found.pop("files") != _digest(current):
            return None
    except (OSError, LookupError):
        return None
    previews = {Pair(*pair): CandidateCost(**one) for pair, one in found.pop("previews")}
    return Compiled(**found, previews=previews)


def _recorded(current: Path, inputs: str) -> dict[str, Any]:
    """Return what is recorded of the policy in force, {} if it was compiled of other inputs."""
    try:
        found = read(dict[str, Any], files.read(current / _COMPILED, _LARGEST_PROFILE))
    except (OSError, ValueError):
        return {}
    return found if found.pop("inputs", None) == inputs else {}


def _digest(directory: Path) -> str:
    """Return a digest of what is in a directory, with its mode, but for _COMPILED."""
    paths = sorted({directory, *directory.rglob("*")} - {directory / _COMPILED})
    named = [(str(one.relative_to(directory)), one.stat().st_mode) for one in paths]
    data = [one.read_bytes() for one in paths if one.is_file()]
    return json_codec.digest(repr((named, data)).encode())


def engine_defaults(current: Path) -> dict[str, list[str]]:
    """Return what counts as each engine's default; {} if the policy in force does not say it."""
    try:
        return read(dict[str, list[str]], files.read(current / _ENGINE_DEFAULTS, _LARGEST))
    except (OSError, ValueError):
        return {}


def _replace(compiled: Compiled, directory: Path, found: dict[str, Any]) -> None:
    link = directory / "current"
    before = link.readlink().name if link.is_symlink() else ""
    others = [old.name for old in directory.iterdir() if old.name.isdecimal()]
    target = directory / str(max(map(int, others), default=0) + 1)
    try:
        _write(compiled, target, found)
        files.replace_link(link, target.name)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    sync(directory)
    for old in others:
        if old != before:  # which creates under way may be reading
            shutil.rmtree(directory / old, ignore_errors=True)


def _link_runtime(runtime: Runtime, directory: Path) -> None:
    """Make the launcher's link, outside the policy: losing that must not change the runtime."""
    directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    link = directory / runtime["kind"]
    if not link.is_symlink() or str(link.readlink()) != str(runtime["path"]):
        files.replace_link(link, runtime["path"])  # only then: its time says when it was changed
    sync(directory)  # before the other is removed: a power cut must not leave none
    for other in directory.iterdir():
        if other.name != runtime["kind"]:
            other.unlink()
    sync(directory)


def _write(compiled: Compiled, target: Path, found: dict[str, Any]) -> None:
    profiles = target / "profiles"
    for made in (target, profiles):
        made.mkdir()
        made.chmod(_DIRECTORY_MODE)
    as_applied = {(name, AS_APPLIED): one for name, one in compiled.as_applied.items()}
    forms = {**compiled.profiles, **as_applied}
    documents: dict[str, object] = {"policy.json": compiled.policy, SOURCES: found[SOURCES]}
    documents[_ENGINE_DEFAULTS] = compiled.engine_defaults
    documents |= {f"profiles/{file_name(*form)}": profile for form, profile in forms.items()}
    for name, document in documents.items():
        files.write_new(target / name, json_codec.dumps(document), _FILE_MODE)
    if compiled.policy["on_error"] == RUN_UNMODIFIED:
        files.write_new(target / RUN_UNMODIFIED, b"", _FILE_MODE)
    previews = [(tuple(pair), vars(one)) for pair, one in compiled.previews.items()]
    kept = {**vars(compiled), "profiles": {}, "pairs": [], "previews": previews}
    kept |= {"sources": dict.fromkeys(compiled.sources), "inputs": found[_COMPILED]}
    kept["files"] = _digest(target)
    files.write_new(target / _COMPILED, json_codec.dumps(kept), _FILE_MODE)
    for written in (profiles, target, target.parent):
        sync(written)
