"""dnf on a node of tests, with a repository of what every node of dnf's has: a shell, and runc."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.host.processes import attempt, run

if TYPE_CHECKING:
    from pathlib import Path

    from harness.host.processes import Run
    from harness.node.packages import Node

# Names and provisions of packages without files: in the node, dpkg brought these.
PROVIDED = {"bash": "/bin/sh", "coreutils": "coreutils-single", "runc": "oci-runtime"}
_SPECIFICATION = """
Name: {name}
Version: 1
Release: 1
Summary: Stands for what the node has already
License: Apache-2.0
BuildArch: noarch
Provides: {provided}
%description
Has no files.
%files
"""
# Nothing of this machine's: no repositories, no variables, no plug-ins, no signatures.
_ALONE = "--setopt=reposdir=/nonexistent --setopt=varsdir=/nonexistent --noplugins --nogpgcheck"
# What dnf itself says during a transaction.
_STEP = re.compile(r"  (Preparing|Running scriptlet|[A-Z][a-z]+ing|Cleanup) *: ")


def repository(place: Path) -> Path:
    """Make the repository in an empty directory; return it."""
    made = place / "repository"
    for name, provided in PROVIDED.items():
        file = place / f"{name}.spec"
        file.write_text(_SPECIFICATION.format(name=name, provided=provided))
        defined = [f"--define=_topdir {place}", f"--define=_rpmdir {made}"]
        run(["rpmbuild", "-bb", "--quiet", *defined, file])
    run(["createrepo_c", "--quiet", made])
    return made


@dataclass(frozen=True)
class Dnf:
    """This machine's dnf, for the root directory of a node; scriptlets run in it."""

    node: Node
    repository: Path

    def __call__(self, *words: str | Path) -> Run:
        """Run it; any exit status is a result."""
        options = [f"--installroot={self.node.root}", *_ALONE.split(), "--releasever=1"]
        options += [f"--repofrompath=node,{self.repository}", "--assumeyes"]
        own = [*self.node.space.prefix, "env", "HOME=/nonexistent", "dnf"]
        return attempt([*own, *options, *words])

    def done(self, *words: str | Path) -> list[str]:
        """Run it and insist on success; return what scriptlets and rpm said."""
        ended = self(*words)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        _, _, transaction = ended.stdout.partition("\nRunning transaction\n")
        steps, _, result = transaction.rpartition("\n\n")[0].rpartition("\n\n")
        assert result, ended.stdout
        return [line for line in steps.splitlines() if line and not _STEP.match(line)]

    def packages(self) -> set[str]:
        """Return the names of the packages that the node has by rpm's database."""
        return set(self.node.run("rpm", "-qa", "--qf", "%{name}\n").stdout.split())
