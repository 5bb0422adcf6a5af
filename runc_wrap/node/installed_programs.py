"""The runtimes and engines installed on this node: their paths, and what they print."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node.paths import Places
from runc_wrap.policy.settings import schema

if TYPE_CHECKING:
    from collections.abc import Mapping

FIXED_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
PROGRAMS = {
    "containerd": "containerd",
    "docker": "dockerd",
    "crio": "crio",
    "podman": "podman",
    "buildah": "buildah",
}
# {distribution of Kubernetes: where its containerd is}
DISTRIBUTIONS = {
    "k3s": "/var/lib/rancher/k3s/data/current/bin/containerd",
    "rke2": "/var/lib/rancher/rke2/bin/containerd",
    "k0s": "/var/lib/k0s/bin/containerd",
    "microk8s": "/snap/microk8s/current/bin/containerd",
}
KINDS = ("runc", "crun")  # in the order that the launcher looks for their links
# what CRI-O's own packages bring, for CRI-O alone: crun is its default
_OF_CRIO = ("/usr/libexec/crio/crun", "/usr/libexec/crio/runc")
_VERSION = re.compile(r"(?:^|\s)[vV]?((\d+\.\d+(?:\.\d+)?)[^\s,]*)")
_RUNTIME = re.compile(r"(runc|crun) version (\S+)")
_NAMED = re.compile(r"([a-z][a-z-]{0,30})\s*(?:version|:)")
# what else calls itself an OCI runtime, by the first word of --version, and why it is not used
_FOREIGN = {
    "runsc": "gVisor's runsc, which ignores a config's seccomp profile unless it is called with "
    "--oci-seccomp: containers would start unconfined",
    "youki": "youki, of which runc-wrap does not know what filter it makes of a profile",
    "kata-runtime": "Kata's runtime, whose containers run on another kernel than this one",
}
_SECONDS = 20
_LARGEST = 8 << 20  # bytes of stdout, and of stderr; a program that prints more is killed
_LOOKED_AT = 0.1  # seconds between two looks at how much that is
_KEPT = ("HOME", "LANG", "XDG_RUNTIME_DIR")  # DOCKER_HOST, say, would lead to another machine
# And so would the context that `docker context use` wrote into HOME's .docker/config.json.
LOCAL_DOCKER = {"DOCKER_CONTEXT": "default"}
_GIVEN = {"PATH": ":".join(FIXED_PATH), "LC_ALL": "C.UTF-8", **LOCAL_DOCKER}
_MOST_SAID = 600  # characters of a failure
MISSING, HUNG = 127, -1
_MARK = b"runc-wrapctl apply"  # a text in each of our launchers, compiled or shell
_READ_AT_MOST = 4 * 1024 * 1024


class RuntimeNotUsable(ValueError):
    """There is no real runtime by the names in the policy; the message says what was found."""


@dataclass(frozen=True)
class Runtime:
    """A low-level OCI runtime: absolute path, kind ("runc" or "crun") and version."""

    path: Path
    kind: str
    version: str


def locate(name: str) -> Path | None:
    """Return a program's path, None if missing; names without a slash are found in FIXED_PATH."""
    candidates = [Path(name)] if "/" in name else [Path(place) / name for place in FIXED_PATH]
    return next((path for path in candidates if os.access(path, os.X_OK) and path.is_file()), None)


@dataclass(frozen=True)
class Ended:
    """How a program ended; `said` is one line: the end of its stderr, or of its stdout without one.

    `status` is MISSING for a program that is not installed, HUNG for one that took too long.
    """

    status: int
    printed: str
    said: str

    @property
    def is_well(self) -> bool:
        """Whether it succeeded."""
        return self.status == 0


def output(name: str, *words: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Return what a program printed, None if it failed, hung or is missing."""
    ended = run(name, *words, seconds=_SECONDS, environment=environment)
    return ended.printed if ended.is_well else None


def failure(name: str, *words: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a program; return "" if it succeeded, otherwise the end of what it said."""
    ended = run(name, *words, seconds=_SECONDS, environment=environment)
    return "" if ended.is_well else ended.said


def run(
    name: str,
    *words: str,
    seconds: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a program as `locate` finds it to its end, with bounded time and output.

    It has only the variables of `environment`, by default a few.
    """
    path = locate(name)
    if path is None:
        return Ended(MISSING, "", f"{name} is not installed")
    called = " ".join((name, *words[:1]))
    with _memory() as given, _memory() as out, _memory() as err:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                [path, *words], stdin=given, stdout=out, stderr=err,
                env=_environment() if environment is None else environment,
            )  # fmt: skip
        except OSError as error:
            return Ended(HUNG, "", f"{path}: {error.strerror}")
        with process:
            try:
                why = _excess(process, seconds, (out, err))
            finally:  # also where Ctrl-C interrupts it
                process.kill()
                _end_growth(out, err)
        if why:
            return Ended(HUNG, "", f"`{called}` {why}")
        printed, complaint = _text(out), _text(err)
    said = " ".join((complaint or printed).split())[-_MOST_SAID:]
    status = process.returncode
    return Ended(status, printed, said or f"it ended with status {status}")


def _excess(process: subprocess.Popen[bytes], seconds: float, files: tuple[IO[bytes], ...]) -> str:
    """Wait for a program's end; return "", or what it does too long or too much."""
    until = time.monotonic() + seconds
    while True:
        try:
            process.wait(min(_LOOKED_AT, seconds))
        except subprocess.TimeoutExpired:
            if time.monotonic() > until:
                return f"did not end within {seconds:g} s"
        else:
            return ""
        if any(os.fstat(file.fileno()).st_size > _LARGEST for file in files):
            return f"printed more than {_LARGEST} bytes"


def _memory() -> IO[bytes]:
    """Return a file in memory: a revert must be able to restart an engine on a full disk.

    Whoever opens it again, as /dev/stderr, writes after the others, too.
    """
    memory = os.memfd_create("output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    file = os.fdopen(memory, "w+b")
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
    return file


def _end_growth(*files: IO[bytes]) -> None:
    """Let nobody add to a program's output any more: what it started may go on and have it open.

    Its memory would belong to nobody whom the node could end for it. A write fails with EPERM
    (fcntl(2), F_SEAL_GROW).
    """
    for file in files:
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_LARGEST).decode(errors="replace")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | _GIVEN


def find_runtime(names: list[str]) -> Runtime:
    """Return the first runtime that exists; a name without a slash is looked up in FIXED_PATH.

    Raises RuntimeNotUsable.
    """
    path = next((path for path in map(locate, names) if path), None)
    if path is None:
        raise RuntimeNotUsable(
            f"none of the runtimes {', '.join(names)} was found; names are looked up in "
            f"{':'.join(FIXED_PATH)}.{_found_instead()} "
            "Install one, or name another in config.toml."
        )
    return _identified(path)


def _found_instead() -> str:
    """Return a sentence about a runtime elsewhere, or one that cannot be used; "" without one."""
    path = next((path for path in map(locate, _OF_CRIO) if path), None)
    if path:
        return f' CRI-O has {path}: name it in config.toml, runtime = ["{path}"].'
    path = next((path for path in map(locate, _FOREIGN) if path), None)
    return f" There is {path}, but runc-wrap needs runc or crun." if path else ""


def _identified(path: Path) -> Runtime:
    if _is_ours(path):
        raise RuntimeNotUsable(
            f"the runtime {path} is runc-wrap itself. Name the real one in config.toml."
        )
    printed = output(str(path.absolute()), "--version") or ""
    found = _RUNTIME.match(printed)
    foreign = _NAMED.match(printed)
    if foreign and foreign[1] in _FOREIGN:
        raise RuntimeNotUsable(
            f"{path} is {_FOREIGN[foreign[1]]}. runc-wrap needs runc or crun: name one in "
            "config.toml, and register other runtimes with the engine as handlers of their own."
        )
    if not found:
        raise RuntimeNotUsable(
            f"{path} --version printed {printed[:80]!r}, not `runc version ...` or "
            "`crun version ...`. Name another runtime in config.toml."
        )
    return Runtime(path.resolve(), found[1], found[2])


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return _MARK in file.read(_READ_AT_MOST)


def kind_in_force(links: Path) -> str | None:
    """Return "runc" or "crun": the link that the launcher follows; None before the first `apply`.

    `links` is PREFIX/lib/runtime.
    """
    return next((kind for kind in KINDS if (links / kind).is_symlink()), None)


def default_runtimes(links: Path) -> list[str]:
    """Return the names to look up if the owner wrote none: the kind in force comes first.

    So installing another runtime does not switch to it. A kind whose program was removed does not
    come first.
    """
    names = list(schema.defaults()["runtime"])
    kind = kind_in_force(links)
    if kind is None or not (links / kind).exists():
        return names
    return [kind, *(name for name in names if name != kind)]


def runtime_kind(prefix: Path) -> str | None:
    """Return "runc" or "crun": the one in force, otherwise the one that the defaults select.

    None if there is neither.
    """
    try:
        return str(policy_file.load(str(prefix))["runtime"]["kind"])
    except Refusal:
        pass
    try:
        return find_runtime(default_runtimes(Places(prefix).runtime)).kind
    except (RuntimeNotUsable, OSError):
        return None


def program_of(engine: str) -> Path | None:
    """Return an engine's program: the one on the path, otherwise that of a distribution."""
    name = PROGRAMS[engine]
    others = DISTRIBUTIONS.values() if engine == "containerd" else ()
    return next(filter(None, map(locate, (name, *others))), None)


def version(engine: str) -> str | None:
    """Return the installed engine's version as it prints it, None if it is not found."""
    found = _printed(engine)
    return found[1] if found else None


def version_of(path: Path) -> str | None:
    """Return the version that a program at an absolute path prints, None if it prints none."""
    found = _VERSION.search(output(str(path), "--version") or "")
    return found[1] if found else None


def engine_versions() -> dict[str, str]:
    """Return {installed engine of PROGRAMS: the numbers of its version}."""
    printed = {engine: _printed(engine) for engine in PROGRAMS}
    return {engine: found[2] for engine, found in printed.items() if found}


def _printed(engine: str) -> re.Match[str] | None:
    program = program_of(engine)
    return _VERSION.search(output(str(program), "--version") or "") if program else None
