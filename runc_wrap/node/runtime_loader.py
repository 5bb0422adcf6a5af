"""How this node's runtimes load profiles: which release of runc or crun, with which libseccomp.

A call that the runtime's libseccomp does not know is left out of a filter, and runc's answer for
the calls above all that a filter names (ENOSYS) begins lower; crun has no such answer. Both print
the version of the library that they loaded, or that is linked into them as into upstream's runc, in
`features`; runc also in --version.

The runtime in force counts, as it is now. A container that an earlier one created may differ, and
so may a libseccomp to which a distribution added calls: `of_other_libraries` has what else may be.
"""

import os
import re
from pathlib import Path
from typing import Literal

from runc_wrap.filters.evaluate.libseccomp_input import Block, Loader
from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.host import program
from runc_wrap.node import installed_programs, seccomp_features
from runc_wrap.profiles import engine_versions, libseccomp_releases, syscall_names
from runc_wrap.profiles.source_profile import ProfileError

_PRINTED = re.compile(r"^libseccomp: (\S+)$", re.MULTILINE)
ALLOWING = frozenset({"SCMP_ACT_ALLOW", "SCMP_ACT_LOG"})
_VERSION = re.compile(r"\d[\d.]{0,30}")


def of(prefix: str | os.PathLike[str], kind: str) -> Loader:
    """Return how a container of this kind got its filter; what is not known of it is None.

    If the policy names another kind, the one that is found by its name counts.
    """
    name: Literal["runc", "crun"] = "crun" if kind == "crun" else "runc"
    chosen = installed_programs.in_force(prefix)
    named = chosen["path"] if chosen and chosen["kind"] == name else name
    try:
        runtime = installed_programs.find_runtime([named])
    except (installed_programs.RuntimeNotUsable, OSError):
        return Loader(name)
    library = engine_versions.parsed(libseccomp(runtime.path))
    return Loader(name, engine_versions.parsed(runtime.version), library)


def libseccomp(path: Path) -> str | None:
    """Return the version of a runtime's libseccomp, None if it says none."""
    found = seccomp_features.printed(path).annotations.libseccomp
    if not found:
        printed = _PRINTED.search(program.output(str(path), "--version") or "")
        found = printed[1] if printed else ""
    return found if _VERSION.fullmatch(found) else None


def of_other_libraries(block: Block, loader: Loader) -> list[Loader]:
    """Return loaders with each other libseccomp that makes another filter of a block.

    Without those in which a call that the block denies stays allowed.
    """
    entries = block.get("syscalls") or ()
    names = {name for entry in entries for name in entry["names"]}
    denials = [entry["names"] for entry in entries if entry["action"] not in ALLOWING]
    denied = {name for each in denials for name in each}
    is_open = block["defaultAction"] in ALLOWING
    releases = [None, *libseccomp_releases.with_other_tables()]
    made = {_lacking(release) & names: release for release in releases}
    made.pop(_lacking(loader.library) & names, None)
    return [
        Loader(loader.kind, loader.version, release)
        for lacking, release in made.items()
        if not (is_open and lacking & denied)
    ]


def _lacking(release: engine_versions.Version | None) -> frozenset[str]:
    return frozenset() if release is None else libseccomp_releases.lacking(release)


def check_comparable(block: Block, loader: Loader) -> None:
    """Raise ProfileError if a block names calls that only the runtime's libseccomp knows."""
    ours = libseccomp_version.loaded()
    if loader.library is None or ours is None or loader.library <= engine_versions.parse(ours[0]):
        return
    names = {name for entry in block.get("syscalls") or () for name in entry["names"]}
    known = syscall_names.known_to_libseccomp(names) or frozenset()
    ahead = libseccomp_releases.may_know(loader.library, names - known)
    if ahead:
        raise ProfileError(
            f"{loader.kind} loads {ahead[0]}, which its libseccomp {loader.library} knows and "
            f"this program's libseccomp {ours[0]} does not: install a newer libseccomp"
        )
