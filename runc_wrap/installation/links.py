"""The links outside of an installation in the default prefix: commands, manual, completions.

They lead through PREFIX/lib/current, so that an upgrade changes them too.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.host import change_set, ownership
from runc_wrap.host.change_set import PathChange
from runc_wrap.installation.release_parts import DEFAULT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runc_wrap.installation.installation_record import InstallationRecord

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


def missing_directories(links: Iterable[Path]) -> list[str]:
    """Return the directories that have to be made for these links, each after the one above."""
    parents = {parent: None for link in links for parent in reversed(link.parents)}
    return [str(parent) for parent in parents if not parent.exists()]


def _shared(share: Path) -> Iterator[tuple[str, Path]]:
    """Yield each manual page and completion, and its directory in /usr/local/share."""
    for page in sorted(share.glob("man/man[0-9]/*")):
        yield f"man/{page.parent.name}", page
    for shell, place in COMPLETIONS.items():
        for script in sorted((share / "completions" / shell).glob("*")):
            yield place, script


def changes(
    record: InstallationRecord, links: dict[Path, str], note: Callable[[str], None]
) -> Iterator[PathChange]:
    """Yield what makes these links, and removes recorded ones that are no longer wanted.

    The record becomes what it is afterwards. On a read-only file system, as /usr is on minimal
    distributions, all stay as they are.
    """
    here = {link for link, target in links.items() if _leads_to(link, target)}
    record.links |= {str(link): links[link] for link in here}
    if barred := [link for link in links if link not in here and is_read_only(link)]:
        place = os.path.commonpath([link.parent for link in barred])
        found = f"{place} is read-only: links to commands, manual and completions are left out"
        note(f"{found}. The commands are in {DEFAULT_PREFIX}/bin.")
    made = {link: target for link, target in links.items()
            if link not in {*here, *barred} and _may_make(record, link, target, note)}  # fmt: skip
    record.directories += [
        name for name in missing_directories(made) if name not in record.directories
    ]
    record.links |= {str(link): target for link, target in made.items()}
    yield from (PathChange(link, change_set.content(link), target) for link, target in made.items())
    for name in [name for name in record.links if Path(name) not in links]:
        link, target = Path(name), record.links[name]
        if not is_read_only(link):
            del record.links[name]
            if _leads_to(link, target):
                yield PathChange(link, target, None)


def _may_make(
    record: InstallationRecord, link: Path, target: str, note: Callable[[str], None]
) -> bool:
    if found := list(ownership.of(str(link.parent))):
        path, how = found[0]
        note(f"{link} is not linked, because {path} {how}.")
        return False
    former = record.links.get(str(link), target)
    if os.path.lexists(link) and not _leads_to(link, former):
        note(f"{link} is not linked, because there is another file of that name.")
        return False
    return True


def _leads_to(link: Path, *targets: str) -> bool:
    return link.is_symlink() and str(link.readlink()) in targets


def is_read_only(path: Path) -> bool:
    """Tell whether the file system of a path, or of where it would be made, is read-only."""
    found = next(parent for parent in path.parents if parent.exists())
    return bool(os.statvfs(found).f_flag & os.ST_RDONLY)


def stuck(record: InstallationRecord) -> Path | None:
    """Return a recorded link that is there and cannot be removed, None if there is none."""
    there = (Path(name) for name, target in record.links.items() if _leads_to(Path(name), target))
    return next(filter(is_read_only, there), None)


def removed(record: InstallationRecord) -> Iterator[tuple[Path, str]]:
    """Remove the recorded links and empty directories; yield what is left, and why."""
    for name, target in list(record.links.items()):
        link = Path(name)
        if _leads_to(link, target):
            link.unlink()
        elif os.path.lexists(link):
            yield link, "it is not the link that install.sh made"
        del record.links[name]
    for name in reversed(record.directories[:]):
        with contextlib.suppress(OSError):  # not empty, gone, or read-only
            Path(name).rmdir()
        record.directories.remove(name)
