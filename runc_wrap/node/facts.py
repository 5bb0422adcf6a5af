"""Finding out what this node is, for the policy's compiler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.node import programs
from runc_wrap.policy.compiling import Facts
from runc_wrap.policy.source import PolicyError
from runc_wrap.profiles import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runc_wrap.node.places import Places

# containers/common pkg/seccomp: the administrator's file wins over the distribution's
SYSTEM_PROFILES = (Path("/etc/containers/seccomp.json"), Path("/usr/share/containers/seccomp.json"))
_LARGEST = 4 * 1024 * 1024
_MOST = 1000


def gather(places: Places, runtimes: list[str]) -> Facts:
    """Look at the node. Raises PolicyError, RuntimeNotUsable."""
    runtime = programs.find_runtime(runtimes)
    return Facts(
        runtime_path=str(runtime.path),
        runtime_kind=runtime.kind,
        runtime_version=runtime.version,
        arch=machine.goarch(),
        kernel=machine.kernel(),
        engines=programs.engine_versions(),
        own_profiles=own_profiles(places.profiles),
        system_profile=system_profile(),
    )


def own_profiles(directory: Path) -> dict[str, bytes]:
    """Return {path beneath the directory: bytes}; hidden files do not count.

    Raises PolicyError for a file that cannot be read or lies outside through a symbolic link.
    """
    try:
        return {str(path.relative_to(directory)): _bounded(path) for path in _beneath(directory)}
    except OSError as error:
        raise PolicyError(f"{error.filename}: {error.strerror}.") from None


def _beneath(directory: Path) -> Iterator[Path]:
    root = directory.resolve()
    files = [path for path in sorted(directory.rglob("*")) if _is_meant(path, directory)]
    if len(files) > _MOST:
        raise PolicyError(f"{directory} has {len(files)} files; at most {_MOST} are compiled.")
    for path in files:
        if not path.resolve(strict=True).is_relative_to(root):
            raise PolicyError(f"{path} is a symbolic link that leads out of {directory}.")
        yield path


def _is_meant(path: Path, directory: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
    return not hidden and not path.is_dir()


def _bounded(path: Path) -> bytes:
    if not path.is_file():
        raise PolicyError(f"{path} is not a regular file.")
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise PolicyError(f"{path} is larger than {_LARGEST} bytes.")
    return data


def system_profile() -> tuple[str, bytes] | None:
    """Return (path, bytes) of containers-common's seccomp.json, None if there is none."""
    path = next((path for path in SYSTEM_PROFILES if path.is_file()), None)
    return (str(path), _bounded(path)) if path else None
