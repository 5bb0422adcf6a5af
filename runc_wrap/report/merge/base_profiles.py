"""The profile to which a merged workload's calls are added: known here, never a node's word.

A node may be hostile: of what it says only the profile's name is taken, which must be a built-in
one, a file here, or given.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.apply import profile_operand
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node.paths import Places
from runc_wrap.policy import named_profiles
from runc_wrap.policy.settings import policy_sources
from runc_wrap.profiles.json_profiles import profile_parser
from runc_wrap.profiles.runtime_spec_names import USUAL
from runc_wrap.profiles.source_profile import Profile, ProfileError
from runc_wrap.report.enforced_profile import Enforced, compiled
from runc_wrap.report.merge.merged_workload import MergedWorkload

_NOT_KNOWN = "give the profile itself by --base FILE"


def assign(places: Places, workloads: Iterable[MergedWorkload], given: Path | None = None) -> None:
    """Give each workload with calls the profile to add to, or the reason why there is none.

    It is loaded as by the runtime in force here, for a container with the usual capabilities.
    `given` is the owner's own choice for all workloads.
    """
    loader = profile_operand.loader(places)

    @cache
    def base(name: str) -> Enforced:
        return Enforced(resolve(compiled(_loaded(places, name, given)), USUAL), loader)

    for one in workloads:
        if one.calls or one.recorded:
            try:
                one.filter = base(_name(one))
            except ProfileError as error:
                one.unknown_profile = f"{error}".rstrip(".")


def _loaded(places: Places, name: str, given: Path | None) -> Profile:
    try:
        if given is not None:
            return profile_parser.parse(given.read_bytes(), str(given))
        own = policy_sources.read_profiles(*places.sources())
        return named_profiles.loaded(name, own).profile
    except OSError as error:
        raise ProfileError(f"{error.filename}: {error.strerror}") from None
    except ProfileError as error:
        raise ProfileError(f"{str(error).rstrip('.')}; {_NOT_KNOWN}") from None


def _name(one: MergedWorkload) -> str:
    """Return the profile's name on most nodes, the first of several."""
    found = sorted(one.profiles.items(), key=lambda each: (-each[1], each[0]))
    return found[0][0] if found else ""


def sentences(one: MergedWorkload) -> list[str]:
    """Return warnings on the profile that was added to, safe to print."""
    if len(one.profiles) < 2:  # noqa: PLR2004 - all nodes have the same
        return []
    names = ", ".join(map(safe_text.word, sorted(one.profiles)))
    name = safe_text.word(_name(one))
    return [f"its nodes have several profiles for it ({names}); this adds to {name}."]
