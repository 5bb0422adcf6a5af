"""Which profiles of a policy let through more than the engines' default profiles, and what.

Each profile that a container of an engine can get is compared with that engine's default, call by
call. Uses libseccomp, so that compiling need not.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from runc_wrap import safe_text
from runc_wrap.filters import profile_difference
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.annotations import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.hotpath.decision import profile_of
from runc_wrap.hotpath.policy_rule_match import ANYTHING, matches_any
from runc_wrap.policy.named_profiles import ON, of_facts
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runc_wrap.hotpath.compiled_policy import CompiledProfile
    from runc_wrap.policy.compiler_facts import Facts
    from runc_wrap.policy.policy_compiler import Compiled
    from runc_wrap.policy.settings.schema import DecidingTable

    # of what is compared, and what finds the calls: the calls
    Remembered = Callable[[bytes, Callable[[], list[str]]], list[str]]

_MOST_CALLS = 8  # named in a sentence


class Weaker:
    """Compares each profile once with each engine's default, as the runtime in force loads them."""

    def __init__(self, compiled: Compiled, facts: Facts, remembered: Remembered) -> None:
        self._compiled = compiled
        self._facts = facts
        self._defaults = compiled.engine_defaults
        self._remembered = remembered
        self._known: profile_difference.Known = {}
        self._calls, self._made = cache(self._compared), cache(self._profile)

    def own(self) -> Iterator[str]:
        """Yield a remark on each profile of the owner's that lets more through than the default."""
        usual = self._of_engine(RUNTIME_DEFAULT, UNKNOWN)
        for name in self._compiled.sources:
            default = name.rpartition(ON)[2] if ON in name else usual
            if name.startswith(LOCALHOST) and (calls := self._calls(default, name)):
                what = f"profile {name} lets through more than runtime-default ({default})"
                yield f"note: {what}: {calls}."

    def more(self, table: DecidingTable) -> Iterator[str]:
        """Yield what a table's profile lets through more, for each installed engine it matches."""
        engines = table.written.get("engine", [ANYTHING])
        for engine, defaults in self._defaults.items():
            if engine not in self._facts.engines or not matches_any(engines, engine):
                continue
            other = self._of_engine(table.effective["profile"], engine)
            for default in defaults:
                if calls := self._calls(default, other):
                    yield (
                        f"the profile {other} lets through more than {default}, the default "
                        f"profile of {engine}: {calls}"
                    )

    def within(self, tables: list[DecidingTable]) -> dict[str, list[str]]:
        """Return for each engine's default the profiles that let through no more.

        Of engines that are not installed, only the default itself is known to be among them.
        """
        found: dict[str, set[str]] = {}
        own = [name for name in self._compiled.sources if name.startswith(LOCALHOST)]
        for engine, defaults in self._defaults.items():
            is_here = engine in self._facts.engines or engine == UNKNOWN
            named = {self._of_engine(table.effective["profile"], engine) for table in tables}
            named |= {self._of_engine(RUNTIME_DEFAULT, engine), *own} if is_here else set()
            for default in defaults:
                within = {one for one in named if is_here and not self._calls(default, one)}
                found.setdefault(default, set()).update(within, {default})
        return {default: sorted(names) for default, names in sorted(found.items())}

    def _of_engine(self, profile: str, engine: str) -> str:
        return profile_of(profile, engine, self._compiled.policy)

    def _compared(self, default: str, other: str) -> str:
        """Return in words the calls that `other` lets through more, "" for none."""
        if default == other:
            return ""
        try:
            both = self._made(default), self._made(other)
            calls = self._remembered(json_codec.dumps([*both]), partial(self._found, *both))
        except ProfileError as error:
            return f"they cannot be compared, as {error}".rstrip(".")
        return safe_text.some(calls, _MOST_CALLS)

    def _found(self, default: CompiledProfile, other: CompiledProfile) -> list[str]:
        loader = Loader.of(self._facts.runtime_kind, self._facts.runtime_version)
        found = profile_difference.weaker(default, other, loader, self._known)
        return list(dict.fromkeys(map(_in_words, found)))

    def _profile(self, name: str) -> CompiledProfile:
        """Compile a profile as it is injected, but for modes, ABIs and overlay: these only deny.

        The engine's default is treated in the same way: arguments are compared as the kernel reads
        them, if the policy wants that.
        """
        source = self._compiled.sources.get(name) or of_facts(name, self._facts)
        if self._compiled.as_kernel:
            source = narrowed_comparisons.narrowed(source).profile
        return compile_profile(source, arch=self._facts.arch, kernel=self._facts.kernel)


def _in_words(one: profile_difference.ProfileChange) -> str:
    held = [name.removeprefix("CAP_") for name in sorted(one.capabilities)]
    return one.call.syscall + (f" (with {', '.join(held)})" if held else "")
