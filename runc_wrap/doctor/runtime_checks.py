"""Checks of what executes containers: the real runtime, its libseccomp, and the kernel."""

import errno
import mmap
from collections.abc import Iterator
from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.doctor import profiles_in_force, remedies
from runc_wrap.doctor.remedies import Finding
from runc_wrap.evidence.sources.audit_obstacles import warnings
from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.node import installed_programs, runtime_loader, seccomp_features
from runc_wrap.node.paths import Places
from runc_wrap.node.runtime_loader import ALLOWING
from runc_wrap.profiles import engine_versions, libseccomp_releases, syscall_names

_LOADED = b"libseccomp.so"  # the name that a dynamically linked program has of it
_NAMED = 3
_RULES = "auditctl -l"
_WANTED_BY = {"audit": "log", "enforce-log": "errno", profiles_in_force.CANDIDATE: "log"}


def runtime(places: Places) -> Iterator[Finding]:
    """Find a real runtime that is missing or is not a runtime."""
    named = installed_programs.in_force(places.prefix)
    if named is None:
        return  # the check of the policy in force reports it
    try:
        installed_programs.find_runtime([named["path"]])
    except (installed_programs.RuntimeNotUsable, OSError) as error:
        remedy = f"install {named['kind']} again, or have runc-wrapctl apply take another one"
        yield remedies.error(str(error), remedy, remedies.ctl(places, "apply"))


def libseccomp(places: Places) -> Iterator[Finding]:
    """Find a runtime without seccomp, and calls of profiles that its libseccomp does not know.

    What it does not know, the runtime leaves out of the filter. If the profile allows such a call,
    the container gets the default action for it. runc answers a call with a number above all that
    the filter names with ENOSYS, as an older kernel would (since 1.0.0-rc93,
    opencontainers/runc#2750), so that programs fall back; crun does not. If the profile denies such
    a call and allows the rest, the call stays allowed.
    """
    named = installed_programs.in_force(places.prefix)
    if named is None:
        return  # the check of the policy in force reports it
    path, kind = Path(named["path"]), named["kind"]
    if seccomp_features.printed(path).linux.seccomp.enabled is False:
        sentence = f"{path} was built without seccomp: no container starts with a profile"
        yield remedies.error(sentence, f"install a {kind} with seccomp")
        return
    if version := runtime_loader.libseccomp(path):
        yield from _unknown(places, path, kind, version)


def _calls(places: Places) -> tuple[set[str], set[str], set[int]]:
    """Return the calls that profiles in force allow while they deny the rest, and vice versa.

    And the errors of that rest.
    """
    allowed, denied, errors = set[str](), set[str](), set[int]()
    for profile in profiles_in_force.enforced(places):
        rules, block = [each["rule"] for each in profile["rules"]], profile["block"]
        let = {name for rule in rules if rule["action"] in ALLOWING for name in rule["names"]}
        if block["defaultAction"] in ALLOWING:
            denied.update({name for rule in rules for name in rule["names"]} - let)
        else:
            allowed.update(let)
            errors.add(block.get("defaultErrnoRet", errno.EPERM))
    return allowed, denied, errors


def _lacking(places: Places, path: Path, version: str) -> frozenset[str]:
    """Return the calls of known releases that the runtime's libseccomp does not know.

    The library itself is asked if the runtime loads the one that this program has loaded, too: a
    distribution may add calls to a release. One that is linked into the runtime tells its version
    only.
    """
    ours = libseccomp_version.loaded()
    is_same = ours is not None and ours[0] == version and _loads_it(path)
    if ours and is_same and places.prefix not in Path(ours[1]).parents:
        names = libseccomp_releases.dated()
        return names - (syscall_names.known_to_libseccomp(names) or frozenset())
    release = engine_versions.parsed(version)
    return libseccomp_releases.lacking(release) if release else frozenset()


def _unknown(places: Places, path: Path, kind: str, version: str) -> Iterator[Finding]:
    lacking = _lacking(places, path, version)
    allowed, denied, errors = _calls(places)
    open_, closed = sorted(denied & lacking), sorted(allowed & lacking)
    which = f"{path} uses libseccomp {version}, which does not know"
    remedy = f"it is linked into {path.name}: upgrade {kind}"
    if _loads_it(path):
        remedy = f"upgrade the libseccomp that `ldd {path}` names"
    if open_:
        what = f"{safe_text.some(open_, _NAMED)}, which a profile in force denies"
        yield remedies.warning(f"{which} {what}: they stay allowed", remedy)
    if closed:
        is_final = kind == "crun" and errors != {errno.ENOSYS}
        error = "EPERM, after which programs do not fall back" if is_final else "ENOSYS"
        what = f"{safe_text.some(closed, _NAMED)}, which profiles in force allow"
        made = remedies.warning if is_final else remedies.note
        yield made(f"{which} {what}: containers get {error}", remedy)


def _loads_it(path: Path) -> bool:
    """Tell whether a program loads libseccomp when it starts."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return text.find(_LOADED) >= 0
    except (OSError, ValueError):
        return False


def kernel(places: Places) -> Iterator[Finding]:
    """Find a kernel without filters, or one that does not log what a mode in force needs."""
    available = seccomp_features.of_kernel("actions_avail")
    if "errno" not in available:
        sentence = "this kernel reports no support for filters (CONFIG_SECCOMP_FILTER)"
        remedy = "boot a kernel with CONFIG_SECCOMP_FILTER=y, as the distribution's has"
        yield remedies.error(sentence, remedy)
        return
    logging = sorted(profiles_in_force.modes(places) & set(_WANTED_BY))
    yield from _unlogged(logging, available)
    for sentence in warnings() if logging else ():
        if not sentence.startswith("kernel.seccomp.actions_logged"):  # see above, by mode
            remedy = f"mend that, or use the mode observe; root's `{_RULES}` shows the rules"
            yield remedies.warning(sentence, remedy, _RULES)


def _unlogged(modes: list[str], available: frozenset[str]) -> Iterator[Finding]:
    """Find what the kernel could log, a mode needs, and the sysctl leaves out."""
    logged = seccomp_features.of_kernel("actions_logged")
    words = " ".join(sorted(available - {"allow"}))
    command = f"sysctl -w kernel.seccomp.actions_logged='{words}'"
    for mode in modes:
        if _WANTED_BY[mode] not in logged:
            what = "a candidate" if mode == profiles_in_force.CANDIDATE else f"the mode {mode}"
            lacks = f"kernel.seccomp.actions_logged lacks {_WANTED_BY[mode]}"
            sentence = f"{what} is in force, but {lacks}: the kernel logs nothing of it"
            yield remedies.warning(sentence, command, command)
