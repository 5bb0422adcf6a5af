"""The links outside of an installation in the default prefix: commands, manual, completions.

They lead through PREFIX/lib/current, so that an upgrade changes them too. By where they lead they
are known as the installation's.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from runc_wrap.host import change_set, ownership
from runc_wrap.installation.releases import DEFAULT_PREFIX

LOCAL = Path("/usr/local")
COMMANDS = ("runc-wrap", "runc-wrapctl")
COMPLETIONS = {
    "bash": "bash-completion/completions",
    "zsh": "zsh/site-functions",
    "fish": "fish/vendor_completions.d",
}
_NAMES = ("bin/runc-wrap*", "share/man/man[0-9]/runc-wrap*",
          *(f"share/{place}/*runc-wrap*" for place in COMPLETIONS.values()))  # fmt: skip
_LASTING = ("bin", "share", "share/man")  # directories that each system has


def wanted(prefix: Path, release: Path) -> dict[Path, str]:
    """Return {link: target}; none for another prefix than the default."""
    if str(prefix) != DEFAULT_PREFIX:
        return {}
    found = {LOCAL / "bin" / name: f"{prefix}/bin/{name}" for name in COMMANDS}
    for place, path in _shared(release / "share"):
        target = prefix / "lib" / "current" / path.relative_to(release)
        found[LOCAL / "share" / place / path.name] = str(target)
    return found


def own(prefix: Path) -> dict[Path, str]:
    """Return {link: target} of those that lead into an installation."""
    places = (f"{prefix}/bin/", f"{prefix}/lib/current/")
    there = (each for name in _NAMES for each in LOCAL.glob(name) if each.is_symlink())
    found = {link: str(link.readlink()) for link in there}
    return {link: target for link, target in found.items() if target.startswith(places)}


def _shared(share: Path) -> Iterator[tuple[str, Path]]:
    """Yield each manual page and completion, and its directory in /usr/local/share."""
    for page in sorted(share.glob("man/man[0-9]/*")):
        yield f"man/{page.parent.name}", page
    for shell, place in COMPLETIONS.items():
        for script in sorted((share / "completions" / shell).glob("*")):
            yield place, script


def changes(
    prefix: Path, links: dict[Path, str], note: Callable[[str], None]
) -> Iterator[change_set.PathChange]:
    """Yield what makes these links, and removes those to pages that the new release has not.

    Others that lead here are somebody's own, and an engine may call them. On a read-only file
    system, as /usr is on minimal distributions, all stay as they are.
    """
    there = own(prefix)
    new = {link: target for link, target in links.items() if there.get(link) != target}
    if is_read_only(LOCAL / "bin"):
        if new:
            found = f"{LOCAL} is read-only: links to commands, manual and completions are left out"
            note(f"{found}. The commands are in {prefix}/bin.")
        return
    for link, target in new.items():
        if why := _obstacle(link, is_own=link in there):
            note(f"{link} is not linked, because {why}.")
        else:
            yield change_set.PathChange(link, change_set.content(link), target)
    shared = LOCAL / "share"
    gone = (link for link in there if links and link not in links and shared in link.parents)
    yield from (change_set.PathChange(link, there[link], None) for link in gone)


def _obstacle(link: Path, *, is_own: bool) -> str:
    for path, how in ownership.of(str(link.parent)):
        return f"{path} {how}"
    return "there is another file of that name" if os.path.lexists(link) and not is_own else ""


def is_read_only(path: Path) -> bool:
    """Tell whether the file system of a path, or of where it would be made, is read-only."""
    found = next(parent for parent in path.parents if parent.exists())
    return bool(os.statvfs(found).f_flag & os.ST_RDONLY)


def remove(links: Iterable[Path]) -> None:
    """Remove links, and the directories that are empty then. Raises OSError."""
    lasting = {LOCAL / name for name in _LASTING}
    for link in links:
        link.unlink()
        for directory in (link.parent, link.parent.parent):
            if directory not in lasting:
                with contextlib.suppress(OSError):  # not empty
                    directory.rmdir()
