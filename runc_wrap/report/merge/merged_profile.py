"""The profile to which a merged workload's calls are added: known here, never a node's word.

A node may be hostile: of what it says only the profile's name is taken, which must be a built-in
one, a file here, or given. The rules that its own profile has are taken where they let through no
more, as for a container with fewer capabilities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.policy import named_profiles
from runc_wrap.policy.settings import policy_sources
from runc_wrap.profiles import block_comparison, platform
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.json_profiles import formats
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.profiles.vocabulary import ALLOW
from runc_wrap.report.enforced_profile import USUAL, Enforced
from runc_wrap.report.suggestion.profile_denials import is_open

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from runc_wrap.filters.evaluate.runtime_load import Loader
    from runc_wrap.profiles.block_comparison import CallRule
    from runc_wrap.profiles.source_profile import Profile
    from runc_wrap.report.reported_workload import ReportedWorkload

Json = dict[str, Any]
_NARROWER = ("syscalls", "architectures")
_OTHERS = ("defaultAction", "defaultErrnoRet")  # of other calls: has to be the same
_DENIALS = ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP")
_MOST_CALLS = 10  # that are named
_NOT_KNOWN = "give the profile itself by --base FILE"


class Bases:
    """Finds profiles by name, each once; `given` is the owner's own choice for all workloads.

    `own` are the directories of settings and profiles that `apply` compiles.
    """

    def __init__(
        self, blocks: Mapping[str, bytes], own: Iterable[Path], loader: Loader, given: Path | None
    ) -> None:
        self._blocks, self._own, self._loader, self._given = blocks, own, loader, given
        self._known: dict[str, Json] = {}
        self._chosen: dict[tuple[str, str], tuple[Enforced, list[str]]] = {}

    def assign(self, workloads: Iterable[ReportedWorkload]) -> None:
        """Give each workload with calls the profile to add to, or the reason why there is none."""
        for one in workloads:
            if one.calls or one.recorded:
                try:
                    one.filter, one.more = self._of(_name(one), _digest(one))
                except ProfileError as error:
                    one.unknown_profile = f"{error}".rstrip(".")

    def _of(self, name: str, digest: str) -> tuple[Enforced, list[str]]:
        """Return the profile, and what the nodes' own lets through more. Raises ProfileError."""
        if (name, digest) not in self._chosen:
            if name not in self._known:
                self._known[name] = _block(self._loaded(name))
            base = self._known[name]
            sent = None if is_open(base) else _parsed(self._blocks.get(digest))
            more = laxer(sent, base) if sent else []
            if sent and not more:
                base = {**base, **{key: sent[key] for key in _NARROWER if key in sent}}
            self._chosen[name, digest] = Enforced(base, self._loader), more
        return self._chosen[name, digest]

    def _loaded(self, name: str) -> Profile:
        try:
            if self._given is not None:
                return formats.parse(self._given.read_bytes(), str(self._given))
            return named_profiles.load(name, policy_sources.read_profiles(*self._own), None)
        except OSError as error:
            raise ProfileError(f"{error.filename}: {error.strerror}") from None
        except ProfileError as error:
            raise ProfileError(f"{str(error).rstrip('.')}; {_NOT_KNOWN}") from None


def _name(one: ReportedWorkload) -> str:
    """Return the profile's name on most nodes, the first of several."""
    found = sorted(one.profiles.items(), key=lambda each: (-each[1], each[0]))
    return found[0][0] if found else ""


def _digest(one: ReportedWorkload) -> str:
    """Return the digest of the profile that all nodes have, "" if they differ."""
    return next(iter(one.blocks)) if len(one.blocks) == 1 else ""


def _block(profile: Profile) -> Json:
    """Return a profile as a container with the usual capabilities gets it."""
    made = narrowed_comparisons.narrowed(profile).profile
    compiled = compile_profile(made, arch=platform.goarch(), kernel=platform.kernel())
    return resolve(compiled, USUAL)


def _parsed(sent: bytes | None) -> Json | None:
    """Return what a node sent, None if it is no profile: it is as not sent then."""
    if sent is None:
        return None
    try:
        formats.parse(sent, "a node's document")
    except ProfileError:
        return None
    found: Json = json_codec.loads(sent)
    return found


def laxer(block: Json, base: Json) -> list[str]:
    """Return what a block lets through more than another does, [] for nothing.

    By its rules as they are written: what is not plainly the same counts as more.
    """
    found = [name for name in ("listenerPath", "listenerMetadata") if block.get(name)]
    found += [name for name in _OTHERS if block.get(name) != base.get(name)]
    found += sorted({*block.get("architectures", ())} - {*base.get("architectures", ())})
    rules = block_comparison.call_rules(base)
    more = {one.call for one in block_comparison.call_rules(block) if not _is_in(one, rules)}
    return [*found, *sorted(more)]


def _is_in(one: CallRule, rules: frozenset[CallRule]) -> bool:
    """Tell whether rules have this one, or one that lets the call through with any arguments."""
    is_denial = one.action in _DENIALS
    return is_denial or one in rules or one._replace(action=ALLOW, errno=None, args=()) in rules


def sentences(one: ReportedWorkload) -> list[str]:
    """Return warnings on the profile that was added to, safe to print."""
    name = safe_text.word(_name(one))
    found = []
    if len(one.profiles) > 1:
        names = ", ".join(map(safe_text.word, sorted(one.profiles)))
        found.append(f"its nodes have several profiles for it ({names}); this adds to {name}.")
    if one.more:
        calls = ", ".join(map(safe_text.word, one.more[:_MOST_CALLS]))
        rest = f" and {len(one.more) - _MOST_CALLS} more" if one.more[_MOST_CALLS:] else ""
        found.append(
            f"the profile that its nodes sent is not taken, as it lets through more than {name} "
            f"for a container with the usual capabilities: {calls}{rest}. If its containers have "
            f"more, print theirs by `runc-wrapctl profile show {name} --caps …`, and give it by "
            "--base FILE."
        )
    elif len(one.blocks) > 1:
        found.append(
            f"its nodes have {len(one.blocks)} different filters of {name}; this adds to the "
            "filter of a container with the usual capabilities."
        )
    return found
