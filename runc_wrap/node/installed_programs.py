"""The runtimes and engines installed on this node: their paths, what they print, which counts."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.failure import Failure
from runc_wrap.host import engine_names, program, runtime_state
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.compiled_policy import CompiledPolicy, Runtime
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.ledger import whole_ledger
from runc_wrap.node.paths import Places
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.settings import schema

# {distribution of Kubernetes: where its containerd is}
DISTRIBUTIONS = {
    "k3s": "/var/lib/rancher/k3s/data/current/bin/containerd",
    "rke2": "/var/lib/rancher/rke2/bin/containerd",
    "k0s": "/var/lib/k0s/bin/containerd",
    "microk8s": "/snap/microk8s/current/bin/containerd",
}
KINDS = ("runc", "crun")  # in the order that the launcher looks for their links
# where engines bring a runtime for themselves; CRI-O's packages, k3s', RKE2's and k0s'
_ENGINES_OWN = (
    Path("/usr/libexec/crio"),
    *(Path(DISTRIBUTIONS[name]).parent for name in ("k3s", "rke2", "k0s")),
)
_VERSION = re.compile(r"(?:^|\s)[vV]?((\d+\.\d+(?:\.\d+)?)[^\s,]*)")
_RUNTIME = re.compile(r"(runc|crun) version (\S+)")
_MARK = b"runc-wrapctl apply"  # a text in each of our launchers, compiled or shell
_READ_AT_MOST = 4 * 1024 * 1024
_NAMED = 3
_LONGEST = 200  # characters of a name shown: callers choose the names in the ledger


class RuntimeNotUsable(Failure):
    """There is no real runtime by the names in the policy; the message says what was found."""


@dataclass(frozen=True)
class InstalledRuntime:
    """A low-level OCI runtime: absolute path, kind ("runc" or "crun") and version."""

    path: Path
    kind: str
    version: str


def find_runtime(names: list[str]) -> InstalledRuntime:
    """Return the first runtime that exists, or else the first among those that engines bring.

    A name without a slash is looked up in the fixed path. Raises RuntimeNotUsable.
    """
    if path := next(filter(None, map(program.locate, names)), None):
        return _identified(path, path.resolve())
    own = (str(place / name) for name in names if "/" not in name for place in _ENGINES_OWN)
    if path := next(filter(None, map(program.locate, own)), None):
        return _identified(path, path)  # an upgrade of k3s moves what its link `current` leads to
    places = ":".join((*program.FIXED_PATH, *map(str, _ENGINES_OWN)))
    raise RuntimeNotUsable(
        f"none of the runtimes {', '.join(names)} was found in {places}. Install one, or name "
        "another in config.toml."
    )


def _identified(path: Path, lasting: Path) -> InstalledRuntime:
    if why := program.refusal(path):
        raise RuntimeNotUsable(f"{why}. chown and chmod go-w that, or name another in config.toml.")
    with path.open("rb") as file:
        if _MARK in file.read(_READ_AT_MOST):
            raise RuntimeNotUsable(f"{path} is runc-wrap itself. Name the real one in config.toml.")
    printed = program.output(str(path.absolute()), "--version") or ""
    if not (found := _RUNTIME.match(printed)):
        raise RuntimeNotUsable(
            f"{path} --version printed {printed[:80]!r}, not `runc version ...` or "
            "`crun version ...`. Name one of these in config.toml."
        )
    return InstalledRuntime(lasting, found[1], found[2])


def kind_in_force(links: Path) -> str | None:
    """Return "runc" or "crun": the link that the launcher follows; None before the first `apply`.

    `links` is PREFIX/lib/runtime.
    """
    return next((kind for kind in KINDS if (links / kind).is_symlink()), None)


def real_runtime(places: Places) -> Path | None:
    """Return the real runtime that `apply` chose, as the launcher finds it; None if there is none.

    A runtime that was moved is searched by its kind's name.
    """
    kind = kind_in_force(places.runtime)
    if kind is None:
        return None
    chosen = (places.runtime / kind).readlink()
    return program.locate(str(chosen)) or program.locate(kind)


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


def policy_in_force(prefix: str | os.PathLike[str]) -> CompiledPolicy | None:
    """Return the compiled policy, None if it cannot be read: a check of doctor says why."""
    try:
        return policy_file.load(os.fspath(prefix))
    except Refusal:
        return None


def in_force(prefix: str | os.PathLike[str]) -> Runtime | None:
    """Return the real runtime that the policy in force has, None without a policy."""
    policy = policy_in_force(prefix)
    return policy["runtime"] if policy else None


def runtime_kind(prefix: Path) -> str | None:
    """Return "runc" or "crun": the one in force, otherwise the one that the defaults select.

    None if there is neither.
    """
    if chosen := in_force(prefix):
        return chosen["kind"]
    try:
        return find_runtime(default_runtimes(Places(prefix).runtime)).kind
    except (RuntimeNotUsable, OSError):
        return None


def check_switch(places: Places, kind: str) -> None:
    """Refuse another kind than the one in force while containers of the ledger exist.

    runc and crun cannot manage each other's containers: an existing one would continue to run, and
    no engine could stop, exec into or delete it. Raises PolicyError, and OSError for a ledger that
    cannot be read.
    """
    before = kind_in_force(places.runtime)
    if before in (None, kind):
        return
    keys = (key for key in whole_ledger.read(places.ledger).records if key[0].startswith("/"))
    if existing := sorted(filter(None, map(runtime_state.directory, keys))):
        named = safe_text.some([f"{path:.{_LONGEST}}" for path in existing], _NAMED)
        raise PolicyError(
            f"the runtime would change from {before} to {kind}, which cannot manage containers of "
            f"{before}: {named} would be orphaned. Stop and delete these first, or keep "
            f'{before} (runtime = ["{before}"] in config.toml), or change it anyway with --force.'
        )


def program_of(engine: str) -> Path | None:
    """Return an engine's program: the one on the path, otherwise a distribution's."""
    name = engine_names.KNOWN[engine].program
    others = DISTRIBUTIONS.values() if engine == engine_names.CONTAINERD.name else ()
    return next(filter(None, map(program.locate, (name, *others))), None)


def version_of(path: Path) -> str | None:
    """Return the version that a program at an absolute path prints, None if it prints none."""
    found = _printed(path)
    return found[1] if found else None


def engine_versions() -> dict[str, str]:
    """Return {installed engine: the numbers of its version}."""
    paths = {engine: program_of(engine) for engine in engine_names.KNOWN}
    printed = {engine: _printed(path) for engine, path in paths.items() if path}
    return {engine: found[2] for engine, found in printed.items() if found}


def _printed(path: Path) -> re.Match[str] | None:
    return _VERSION.search(program.output(str(path), "--version") or "")
