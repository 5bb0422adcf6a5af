"""Whether the libseccomp of the real runtime knows the calls that the profiles in force name.

What it does not know, the runtime leaves out of the filter. If the profile allows such a call, the
container gets the default action for it. runc answers a call with a number above all that the
filter names with ENOSYS, as an older kernel would (since 1.0.0-rc93, opencontainers/runc#2750), so
that programs fall back; crun does not. If the profile denies such a call and allows the rest, the
call stays allowed.

The library itself is asked if the runtime loads the one that this program has loaded, too: a
distribution may add calls to a release. One that is linked into the runtime tells its version only.
"""

from __future__ import annotations

import errno
import mmap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.doctor.policy_checks import profiles_in_force
from runc_wrap.doctor.remedies import Finding, Severity
from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.node import installed_programs, runtime_loader, seccomp_features
from runc_wrap.profiles import engine_versions, libseccomp_releases, syscall_names
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.paths import Places

NAME = "libseccomp"
_LOADED = b"libseccomp.so"  # the name that a dynamically linked program has of it
_NAMED = 3


class _Calls(NamedTuple):
    """Calls that profiles in force allow while they deny the rest, and the other way round.

    `errors` are those of the rest.
    """

    allowed: frozenset[str]
    denied: frozenset[str]
    errors: frozenset[int]


def find(places: Places) -> Iterator[Finding]:
    """Find a runtime without seccomp, and calls that its libseccomp does not know."""
    runtime = installed_programs.in_force(places.prefix)
    if runtime is None:
        return  # policy_in_force reports it
    path = Path(runtime["path"])
    if seccomp_features.printed(path).linux.seccomp.enabled is False:
        sentence = f"{path} was built without seccomp: no container starts with a profile"
        yield Finding(NAME, "error", sentence, f"install a {runtime['kind']} with seccomp")
        return
    version = runtime_loader.libseccomp(path)
    if version:
        lacking = _lacking(places, path, version)
        yield from _unknown(path, runtime["kind"], (version, lacking), _calls(places))


def _calls(places: Places) -> _Calls:
    allowed: set[str] = set()
    denied: set[str] = set()
    errors: set[int] = set()
    for profile in profiles_in_force.enforced(places):
        rules, block = [each["rule"] for each in profile["rules"]], profile["block"]
        lets = (rule for rule in rules if rule["action"] in profiles_in_force.ALLOWING)
        let = {name for rule in lets for name in rule["names"]}
        if block["defaultAction"] in profiles_in_force.ALLOWING:
            denied |= {name for rule in rules for name in rule["names"]} - let
        else:
            allowed |= let
            errors.add(block.get("defaultErrnoRet", errno.EPERM))
    return _Calls(frozenset(allowed), frozenset(denied), frozenset(errors))


def _lacking(places: Places, path: Path, version: str) -> frozenset[str]:
    """Return the calls of known releases that the runtime's libseccomp does not know."""
    ours = libseccomp_version.loaded()
    is_same = ours is not None and ours[0] == version and _loads_it(path)
    if ours and is_same and places.prefix not in Path(ours[1]).parents:
        names = libseccomp_releases.dated()
        return names - (syscall_names.known_to_libseccomp(names) or frozenset())
    try:
        return libseccomp_releases.lacking(engine_versions.parse(version))
    except ProfileError:
        return frozenset()


def _unknown(
    path: Path, kind: str, library: tuple[str, frozenset[str]], calls: _Calls
) -> Iterator[Finding]:
    version, lacking = library
    open_, closed = sorted(calls.denied & lacking), sorted(calls.allowed & lacking)
    which = f"{path} uses libseccomp {version}"
    if open_:
        sentence = (
            f"{which}, which does not know {_listed(open_)}, which a profile in force denies: "
            "they stay allowed"
        )
        yield _finding("warning", sentence, path, kind)
    if closed:
        is_final = kind == "crun" and calls.errors != {errno.ENOSYS}
        error = "EPERM, after which programs do not fall back" if is_final else "ENOSYS"
        sentence = (
            f"{which}, which does not know {_listed(closed)}, which profiles in force allow: "
            f"containers get {error}"
        )
        yield _finding("warning" if is_final else "note", sentence, path, kind)


def _finding(severity: Severity, sentence: str, path: Path, kind: str) -> Finding:
    remedy = f"it is linked into {path.name}: upgrade {kind}"
    if _loads_it(path):
        remedy = f"upgrade the libseccomp that `ldd {path}` names"
    return Finding(NAME, severity, sentence, remedy)


def _loads_it(path: Path) -> bool:
    """Tell whether a program loads libseccomp when it starts."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return text.find(_LOADED) >= 0
    except (OSError, ValueError):
        return False


def _listed(names: list[str]) -> str:
    shown, more = ", ".join(names[:_NAMED]), len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
