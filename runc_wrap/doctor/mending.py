"""Doing what findings say that is safe to do without asking: `runc-wrapctl doctor --fix`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap import doctor
from runc_wrap.doctor.check_finding import NotMended

if TYPE_CHECKING:
    from runc_wrap.doctor.check_finding import Finding
    from runc_wrap.node.paths import Places


@dataclass(frozen=True)
class Mended:
    """A finding that was to be mended; `failure` is why it could not, "" if it was."""

    finding: Finding
    failure: str


def mend(places: Places, found: list[Finding]) -> tuple[list[Mended], list[Finding]]:
    """Mend what can be mended, each command once; return that, and what is found afterwards.

    What a fix uncovers is found, and mended by the next `doctor --fix`.
    """
    tried: dict[str, str] = {}
    fixable = [each for each in found if each.fix]
    for each in fixable:
        if each.command not in tried:
            tried[each.command] = _failure(each)
    done = [Mended(each, tried[each.command]) for each in fixable]
    return done, doctor.run(places) if done else found


def _failure(finding: Finding) -> str:
    try:
        if finding.fix:
            finding.fix()
    except NotMended as error:
        return str(error)
    except PermissionError as error:
        return f"{error.filename}: {error.strerror}; run this as root"
    except OSError as error:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return ""
