"""The cluster's policies on a node: a directory for each, and one link to the one in force.

PREFIX/var/cluster/policy/DIGEST     config.toml, conf.d/0-mode.toml, profiles/*.json: never changed
PREFIX/var/cluster/policy/current -> DIGEST     what `apply` reads beside PREFIX/etc

The pod writes a directory, and on the host `runc-wrapctl cluster apply` checks it, compiles it and
switches the link last. A kill anywhere leaves the policy before or this one, each whole.
"""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from runc_wrap.apply import apply_policy
from runc_wrap.cluster import configmap_policy
from runc_wrap.cluster.configmap_policy import MODE, Files, PolicyNotTaken
from runc_wrap.failure import Failure
from runc_wrap.host import files
from runc_wrap.host.locks import locked
from runc_wrap.node.paths import Places
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.policy.settings.policy_sources import PROFILES

_FILE_MODE = 0o644
_DIGITS = 32


def name_of(found: Files) -> str:
    """Return the name of a policy's directory."""
    return configmap_policy.digest(found)[:_DIGITS]


def in_force(places: Places) -> str | None:
    """Return the name of the policy that the link leads to, None if there is none."""
    try:
        return places.cluster_policy.readlink().name
    except OSError:
        return None


def write(places: Places, found: Files) -> str:
    """Write a policy's directory unless it is there, whole, and return its name. Raises OSError."""
    name = name_of(found)
    to = places.cluster_policy.with_name(name)
    if not _is_whole(to):
        write_files(to.with_name(f"{name}.new"), found)
        shutil.rmtree(to, ignore_errors=True)
        to.with_name(f"{name}.new").rename(to)
        files.sync(to.parent)
    return name


def write_files(to: Path, found: Files) -> None:
    """Write files into a directory, in place of what is there. Raises OSError."""
    shutil.rmtree(to, ignore_errors=True)
    (to / PROFILES).mkdir(mode=0o700, parents=True)
    add_files(to, found)


def add_files(to: Path, found: Files) -> None:
    """Write files into a directory. Raises OSError."""
    for name, data in found.items():
        (to / name).parent.mkdir(mode=0o700, exist_ok=True)
        files.replace(to / name, data, _FILE_MODE)


def lay(places: Places, name: str) -> None:
    """Check a policy and switch to it before a release is in force: install.sh compiles it.

    Raises PolicyNotTaken and OSError.
    """
    with locked(places.var, "cluster"):
        check(_whole(places, name))
        _switch(places, name)


def put_in_force(places: Places, name: str) -> list[str]:
    """Check a policy, put it in force, and switch to it: on the host.

    Return remarks for the owner, as those of `apply`. Raises PolicyNotTaken and OSError, and then
    everything is as it was.
    """
    with locked(places.var, "cluster"):
        chosen = _whole(places, name)
        with _refusals(chosen):
            compiled, remarks = apply_policy.put_in_force(chosen)
        _switch(places, name)
    return [*remarks, *apply_policy.notes(places, compiled)]


def check(chosen: Places) -> tuple[Compiled, list[str]]:
    """Return what `apply` does with a policy in a directory. Raises PolicyNotTaken and OSError."""
    with _refusals(chosen):
        return apply_policy.check(chosen)


def candidate(places: Places, name: str) -> Places:
    """Return the installation as it would be with a policy."""
    return Places(places.prefix, places.cluster_policy.with_name(name))


@contextlib.contextmanager
def _refusals(chosen: Places) -> Iterator[None]:
    try:
        configmap_policy.refuse_two_modes(_files(chosen.cluster_policy))
        yield
    except Failure as error:
        text = str(error).replace(f"{chosen.cluster_policy}/", "")
        raise PolicyNotTaken(text.replace(f"{chosen.etc}/", "")) from error


def _whole(places: Places, name: str) -> Places:
    """Return the candidate if its policy's directory is whole. Raises PolicyNotTaken."""
    chosen = candidate(places, name)
    if not _is_whole(chosen.cluster_policy):
        found = chosen.cluster_policy
        raise PolicyNotTaken(f"{found} is not what the pod wrote; a new pod writes it again")
    return chosen


def _is_whole(directory: Path) -> bool:
    """Tell whether a policy's directory has what its name says."""
    try:
        return name_of(_files(directory)) == directory.name
    except PolicyNotTaken:
        return False


def _files(directory: Path) -> Files:
    return configmap_policy.mounted(directory, directory / PROFILES)


def _switch(places: Places, name: str) -> None:
    """Have the link lead to a policy, and drop the others."""
    link = places.cluster_policy
    files.replace_link(link, name)
    files.sync(link.parent)
    for other in link.parent.iterdir():
        if other.name not in (link.name, name) and not other.is_symlink():
            shutil.rmtree(other, ignore_errors=True)


def forget(places: Places) -> None:
    """Remove the policies where no release is in force: one installed by hand would read them."""
    shutil.rmtree(places.cluster_policy.parent, ignore_errors=True)


def mode_in_force(places: Places) -> Files:
    """Return the file with the overlay's mode that the cluster sent last, {} if it sent none."""
    with contextlib.suppress(OSError):
        return {MODE: files.read(places.cluster_policy / MODE, configmap_policy.LARGEST)}
    return {}
