"""The links outside of an installation in the default prefix: commands, manual, completions.

They lead through PREFIX/lib/current, so that an upgrade changes them too.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.host import files, ownership
from runc_wrap.installation.release_parts import DEFAULT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.installation.installation_record import Record

LOCAL = Path("/usr/local")
COMMANDS = ("runc-wrap", "runc-wrapctl")
READ_ONLY = "its file system is read-only now"
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
        """Make and remove links, and enter them in the record. Raises OSError.

        On a read-only file system, as /usr is on minimal distributions, all stay as they are.
        """
        todo = [link for link in self._links if not self._is_made(link)]
        barred = [link for link in todo if _is_read_only(link)]
        right = [link for link in barred if _leads_to(link, self._links[link])]
        self._record.links |= {str(link): self._links[link] for link in right}
        self._leave_out([link for link in barred if link not in right])
        for link in todo:
            if link not in barred and self._may_make(link):
                self._make_directories({link: self._links[link]})
                self._change(link, self._links[link])
                self._record.links[str(link)] = self._links[link]
        for name in [name for name in self._record.links if Path(name) not in self._links]:
            self._remove(name)

    def _is_made(self, link: Path) -> bool:
        return str(link) in self._record.links and _leads_to(link, self._links[link])

    def _leave_out(self, links: list[Path]) -> None:
        """Note once that these are not made, and forget that they were planned."""
        if links:
            place = os.path.commonpath([link.parent for link in links])
            found = f"{place} is read-only: links to commands, manual and completions are left out"
            self._note(f"{found}. The commands are in {DEFAULT_PREFIX}/bin.")
        for name in map(str, links):
            if name in self._record.links and not _leads_to(Path(name), self._record.links[name]):
                del self._record.links[name]

    def _remove(self, name: str) -> None:
        """Remove a link of a former release; one that is read-only stays, and stays recorded."""
        link = Path(name)
        if _leads_to(link, self._record.links[name]):
            if _is_read_only(link):
                return
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


def _is_read_only(path: Path) -> bool:
    """Tell whether the file system of a path, or of where it would be made, is read-only."""
    found = next(parent for parent in path.parents if parent.exists())
    return bool(os.statvfs(found).f_flag & os.ST_RDONLY)


def is_stuck(path: Path) -> bool:
    """Tell whether there is a file that cannot be removed, as its file system is read-only."""
    return os.path.lexists(path) and _is_read_only(path)


def _set(link: Path, target: str | None) -> None:
    if target is None:
        link.unlink(missing_ok=True)
    else:
        files.replace_link(link, target)


def removed(record: Record) -> Iterator[tuple[Path, str]]:
    """Remove the recorded links and empty directories; yield what is left, and why.

    What is read-only stays recorded.
    """
    for name, target in list(record.links.items()):
        link = Path(name)
        if _leads_to(link, target) and _is_read_only(link):
            yield link, READ_ONLY
            continue
        if _leads_to(link, target):
            link.unlink()
        elif os.path.lexists(link):
            yield link, "it is not the link that install.sh made"
        del record.links[name]
    for name in reversed(record.directories[:]):
        directory = Path(name)
        is_empty = directory.is_dir() and not any(directory.iterdir())
        if is_empty and is_stuck(directory):
            yield directory, READ_ONLY
        elif is_empty:
            directory.rmdir()
        if not is_stuck(directory):
            record.directories.remove(name)
