"""The setting `adopt`: what may replace the engines' default profiles in containers' configs.

`adopt = "runtime-default"` promises that the replacement lets nothing more through. So each profile
that a container of an engine can get is compared with that engine's default, call by call, with
libseccomp. A setting that breaks the promise is refused where both are written together; where
`adopt` comes from [default], the containers in question keep the engine's default, and a remark
says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

from runc_wrap import safe_text
from runc_wrap.filters import profile_difference
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.annotations import RUNTIME_DEFAULT
from runc_wrap.hotpath.compiled_policy import CompiledProfile
from runc_wrap.hotpath.container_identity import UNKNOWN
from runc_wrap.hotpath.decision import ADOPT, ADOPT_WEAKER, AS_STRICT, OBSERVE, OFF, profile_of
from runc_wrap.hotpath.policy_rule_match import ANYTHING, matches_any
from runc_wrap.policy import candidate_settings, policy_compiler
from runc_wrap.policy.compiler_facts import Facts, PolicyError
from runc_wrap.policy.named_profiles import ON, is_owners, of_facts
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.policy.settings import schema
from runc_wrap.policy.settings.schema import DecidingTable
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import ProfileError

# of what is compared, and what finds the calls: the calls
Remembered = Callable[[bytes, Callable[[], list[str]]], list[str]]

_REMEDY = f'write adopt = "{ADOPT_WEAKER}" if it shall take its place all the same'
_MOST_CALLS = 8  # named in a sentence


def settle(
    compiled: Compiled, values: Mapping[str, Any], facts: Facts, remembered: Remembered
) -> Compiled:
    """Return the compiled policy with what may replace each engine's default, and remarks.

    `remembered` keeps what was found from one `apply` to the next. Raises PolicyError.
    """
    weaker = _Weaker(compiled, values, facts, remembered)
    compiled = replace(compiled, remarks=(*compiled.remarks, *weaker.own()))
    adoption = compiled.policy.get("adoption")
    if adoption is None:
        return compiled
    tables = list(schema.deciding_tables(values))
    problems: list[str] = []
    remarks: list[str] = []
    for table in tables:
        is_promised = table.written.get("adopt") == ADOPT
        (problems if is_promised else remarks).extend(_findings(table, weaker))
    if problems:
        raise PolicyError("\n".join(problems))
    within = weaker.within(tables) if any(one.effective["adopt"] == ADOPT for one in tables) else {}
    policy = {**compiled.policy, "adoption": {**adoption, "within": within}}
    return replace(compiled, policy=policy, remarks=(*compiled.remarks, *remarks))  # type: ignore[arg-type]  # a TypedDict again


def _findings(table: DecidingTable, weaker: _Weaker) -> Iterator[str]:
    """Yield a sentence for each way in which a table lets more through than engines' defaults."""
    adopt, mode = table.effective["adopt"], table.effective["mode"]
    is_default = table.kind == schema.DEFAULT
    what = "default.adopt" if is_default else f"the rule {table.written['name']!r:.80}"
    where = f"{table.place('adopt')}{what}"
    if adopt == ADOPT_WEAKER and mode == OFF:
        away = "takes the filter away from containers that bring the engine's default"
        yield f"note: {where}: the mode off {away}."
    if adopt != ADOPT:
        return
    kept = f"note: {where}: containers that bring the engine's default keep it: "
    own = "adopt" in table.written
    if mode not in AS_STRICT and not (mode == OBSERVE and candidate_settings.is_for(table)):
        found = [f"the mode {mode} lets through what the engine's default denies"]
    else:
        found = [*weaker.more(table)] if own or "profile" in table.written else []
    for more in found:
        yield f'{where} adopts "{ADOPT}", but {more}; {_REMEDY}.' if own else f"{kept}{more}."


class _Weaker:
    """Compares each profile once with each engine's default, as the runtime in force loads them."""

    def __init__(
        self, compiled: Compiled, values: Mapping[str, Any], facts: Facts, remembered: Remembered
    ) -> None:
        self._compiled = compiled
        self._values = values
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
            if is_owners(name) and (calls := self._calls(default, name)):
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
        own = [name for name in self._compiled.sources if is_owners(name)]
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
        source = policy_compiler.compared(source, self._values).profile
        return compile_profile(source, arch=self._facts.arch, kernel=self._facts.kernel)


def _in_words(one: profile_difference.ProfileChange) -> str:
    held = [name.removeprefix("CAP_") for name in sorted(one.capabilities)]
    return one.call.syscall + (f" (with {', '.join(held)})" if held else "")
