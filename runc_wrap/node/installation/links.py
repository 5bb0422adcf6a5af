"""The links outside of an installation in the default prefix: commands, manual, completions.

They lead through PREFIX/lib/current, so that an upgrade changes them too.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.host import files, ownership
from runc_wrap.node.installation.release_parts import DEFAULT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.node.installation.installation_record import Record

LOCAL = Path("/usr/local")
COMMANDS = ("runc-wrap", "runc-wrapctl")
COMPLETIONS = {
    "bash": "bash-completion/completions",
    "zsh": "zsh/site-functions",
    "fish": "fish/vendor_completions.d",
}


def wanted(prefix: Path, release: Path) -> dict[Path, str]:
    """Return {link: target}; none for another prefix than the default."""
    if str(prefix) != DEFAULT_PREFIX:
        return {}
    found = {LOCAL / "bin" / name: f"{prefix}/bin/{name}" for name in COMMANDS}
    for place, path in _shared(release / "share"):
        target = prefix / "lib" / "current" / path.relative_to(release)
        found[LOCAL / "share" / place / path.name] = str(target)
    return found


def missing_directories(links: dict[Path, str]) -> list[str]:
    """Return the directories that have to be made for these links, each after the one above."""
    parents = {parent: None for link in links for parent in reversed(link.parents)}
    return [str(parent) for parent in parents if not parent.exists()]


def _shared(share: Path) -> Iterator[tuple[str, Path]]:
    """Yield each manual page and completion, and its directory beneath /usr/local/share."""
    for page in sorted(share.glob("man/man[0-9]/*")):
        yield f"man/{page.parent.name}", page
    for shell, place in COMPLETIONS.items():
        for script in sorted((share / "completions" / shell).glob("*")):
            yield place, script


class Links:
    """Makes the links of a release and removes those of a former one that it has no more."""

    def __init__(self, record: Record, links: dict[Path, str], note: Callable[[str], None]) -> None:
        self._record, self._links, self._note = record, links, note
        self._before: dict[Path, str | None] = {}
        self._made: list[Path] = []

    def put(self) -> None:
        """Make and remove links, and enter them in the record. Raises OSError."""
        for link, target in self._links.items():
            if self._may_make(link):
                self._make_directories({link: target})
                self._change(link, target)
                self._record.links[str(link)] = target
        for name in [name for name in self._record.links if Path(name) not in self._links]:
            link = Path(name)
            if _leads_to(link, self._record.links[name]):
                self._change(link, None)
            del self._record.links[name]

    def _may_make(self, link: Path) -> bool:
        if found := list(ownership.of(str(link.parent))):
            path, how = found[0]
            self._note(f"{link} is not linked, because {path} {how}.")
            return False
        former = self._record.links.get(str(link), self._links[link])
        if os.path.lexists(link) and not _leads_to(link, former, self._links[link]):
            self._note(f"{link} is not linked, because there is another file of that name.")
            return False
        return True

    def _make_directories(self, links: dict[Path, str]) -> None:
        for name in missing_directories(links):
            Path(name).mkdir(mode=0o755)
            self._made.append(Path(name))
            if name not in self._record.directories:
                self._record.directories.append(name)

    def _change(self, link: Path, target: str | None) -> None:
        self._before[link] = str(link.readlink()) if link.is_symlink() else None
        _set(link, target)

    def put_back(self) -> None:
        """Restore what was there before."""
        for link, target in self._before.items():
            _set(link, target)
        for directory in reversed(self._made):
            with contextlib.suppress(OSError):  # others put something in meanwhile
                directory.rmdir()


def _leads_to(link: Path, *targets: str) -> bool:
    return link.is_symlink() and str(link.readlink()) in targets


def _set(link: Path, target: str | None) -> None:
    if target is None:
        link.unlink(missing_ok=True)
    else:
        files.replace_link(link, target)


def removed(record: Record) -> Iterator[tuple[Path, str]]:
    """Remove the recorded links and empty directories; yield what is left, and why."""
    for name, target in list(record.links.items()):
        link = Path(name)
        if _leads_to(link, target):
            link.unlink()
        elif os.path.lexists(link):
            yield link, "it is not the link that install.sh made"
        del record.links[name]
    for name in reversed(record.directories):
        directory = Path(name)
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    record.directories.clear()
