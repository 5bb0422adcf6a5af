"""The root directory of another Debian release, made by mmdebstrap from the machine's apt sources.

It is kept between runs, outside the checkout, and recreated when its ingredients change.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KEPT = Path(os.environ.get("RUNC_WRAP_WORLDS") or "/var/cache/runc-wrap-worlds")
STAMP = ".made-of"
_TARGETS = "$(RELEASE)|$(REPO_URI)|$(COMPONENT)|$(SIGNED_BY)"
_CREATED_BY = "Created-By: Packages"
_UNREAD = ("/usr/share/doc", "/usr/share/man", "/usr/share/locale")
_SETTINGS = ("Acquire::http", "Acquire::Check-", "Acquire::Retries")  # http: https and proxies too


class WorldError(Exception):
    """What is missing for another Debian release, as a sentence for the user of make."""


@dataclass(frozen=True)
class World:
    """A Debian suite, and the packages of its root directory, which is kept by name."""

    suite: str
    packages: Sequence[str]
    name: str = ""  # the suite's, if this is the only one of it
    variant: str = "minbase"  # mmdebstrap's

    def root(self) -> Path:
        """Return the root directory; create it unless there is one with exactly these packages."""
        if os.geteuid():
            raise WorldError(f"a root directory of {self.suite} is made by root; try: as root")
        root = KEPT / (self.name or self.suite)
        with alone(root.with_name(f"{root.name}.lock")):
            made_of = self.recipe(codename(), targets(), settings())
            stamp = root / STAMP
            if not stamp.is_file() or stamp.read_text() != "\n".join(made_of):
                self._make(root, made_of)
        return root

    def recipe(self, codename: str, targets: str, settings: str) -> list[str]:
        """Return mmdebstrap's arguments without the target; they also identify the contents."""
        found = sources(targets, codename, self.suite)
        if not found:
            raise WorldError(
                f"apt has no source of {codename}, so none of {self.suite} could be derived; "
                "found was:\n" + targets
            )
        options = [f"--aptopt={line}" for line in chosen(settings)]
        options += [f"--dpkgopt=path-exclude={place}/*" for place in _UNREAD]
        include = f"--include={','.join(sorted(set(self.packages)))}"
        return [f"--variant={self.variant}", "--mode=root", include, *options, self.suite, *found]

    def _make(self, root: Path, made_of: list[str]) -> None:
        """Create it beside the old one, and replace that only when it is complete."""
        new = root.with_suffix(".new")
        for old in (new, root):
            shutil.rmtree(old, ignore_errors=True)
        front = made_of.index(self.suite) + 1
        words = ["mmdebstrap", "--quiet", *made_of[:front], str(new), *made_of[front:]]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            shutil.rmtree(new, ignore_errors=True)
            raise WorldError(f"mmdebstrap ended with {done.returncode}: {' '.join(words)}")
        (new / STAMP).write_text("\n".join(made_of))
        new.rename(root)


def with_docker(suite: str, packages: Sequence[str]) -> tuple[str, ...]:
    """Add Docker's command, which has a package of its own since trixie."""
    return (*packages, *(["docker-cli"] if suite != "bookworm" else []))


def sources(targets: str, codename: str, suite: str) -> list[str]:
    """Return the machine's sources of Debian proper as one-line sources of another suite.

    Not its -updates and -security: a suite that is not released yet may have none.
    """
    found = []
    for line in targets.splitlines():
        release, uri, component, key = line.split("|")
        if release == codename:
            signed = f" [signed-by={key}]" if key.startswith("/") else ""
            found.append(f"deb{signed} {uri} {suite} {component}")
    return found


def chosen(settings: str) -> list[str]:
    """Return the lines of `apt-config dump` about how the machine reaches its sources."""
    lines = settings.splitlines()
    return [line for line in lines if line.startswith(_SETTINGS) and not line.endswith(' "";')]


def codename() -> str:
    """Return the machine's own suite from os-release."""
    lines = Path("/etc/os-release").read_text().splitlines()
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    return pairs.get("VERSION_CODENAME", "").strip('"')


def targets() -> str:
    """Return what apt would fetch, one index per line."""
    words = ["apt-get", "indextargets", "--format", _TARGETS, _CREATED_BY]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def settings() -> str:
    """Return apt's settings."""
    return subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Keep other processes from creating the same one."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
