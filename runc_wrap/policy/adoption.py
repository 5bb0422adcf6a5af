"""What a policy's profiles let through more than the engines' default profiles, and `adopt`.

`adopt = "runtime-default"` promises that it is nothing. Here each profile that a container of an
engine can get is compared with that engine's default, call by call. A setting that breaks the
promise is refused where both are written together; where `adopt` comes from [default], the
containers in question keep the engine's default, and a remark says so. Uses libseccomp, so that
compiling need not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text
from runc_wrap.filters import profile_difference
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.hotpath.annotations import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.hotpath.decision import ADOPT, ADOPT_WEAKER, AS_STRICT, profile_of
from runc_wrap.hotpath.identity import UNKNOWN
from runc_wrap.hotpath.rule_match import matches_any
from runc_wrap.policy.named_profiles import ON, of_facts, placing
from runc_wrap.policy.policy_errors import PolicyError
from runc_wrap.policy.settings import schema
from runc_wrap.profiles.arguments import narrowed_comparisons
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.source_profile import ProfileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runc_wrap.hotpath.compiled_policy import CompiledProfile
    from runc_wrap.policy.compiler_facts import Facts
    from runc_wrap.policy.policy_compiler import Compiled

_OFF = "off"
_MOST_CALLS = 8  # named in a sentence
_REMEDY = f'write adopt = "{ADOPT_WEAKER}" if it shall take its place all the same'


@dataclass(frozen=True)
class _Table:
    """[default] or one rule: its effective settings, and those that were `written` in it.

    `where` is the place of its adopt, or of the rule; `what` names it in a sentence.
    """

    where: str
    what: str
    adopt: str
    mode: str
    profile: str
    engines: list[str]
    written: frozenset[str]


def settle(compiled: Compiled, values: Mapping[str, Any], facts: Facts) -> Compiled:
    """Return the compiled policy with what may replace each engine's default, and remarks.

    Raises PolicyError.
    """
    comparing = _Comparing(compiled, facts)
    compiled = replace(compiled, remarks=(*compiled.remarks, *comparing.own()))
    adoption = compiled.policy.get("adoption")
    if adoption is None:
        return compiled
    tables = list(_tables(values))
    problems: list[str] = []
    remarks: list[str] = []
    for table in tables:
        is_promised = "adopt" in table.written and table.adopt == ADOPT
        (problems if is_promised else remarks).extend(_findings(table, comparing))
    if problems:
        raise PolicyError("\n".join(problems))
    within = comparing.within(tables) if any(one.adopt == ADOPT for one in tables) else {}
    policy = {**compiled.policy, "adoption": {**adoption, "within": within}}
    return replace(compiled, policy=policy, remarks=(*compiled.remarks, *remarks))  # type: ignore[arg-type]  # a TypedDict again


def _tables(values: Mapping[str, Any]) -> Iterator[_Table]:
    place = placing(values)
    names = ("adopt", "mode", "profile")
    adopt, mode, profile = (values[f"default.{name}"] for name in names)
    where = place("default.adopt")
    yield _Table(where, "default.adopt", adopt, mode, profile, ["*"], frozenset(names))
    for number, rule in enumerate(values[schema.RULES]):
        where, what = place(schema.RULES, number, "adopt"), f"the rule {rule['name']!r:.80}"
        adopt, mode, profile = (rule.get(name, values[f"default.{name}"]) for name in names)
        engines = rule.get("engine", ["*"])
        yield _Table(where, what, adopt, mode, profile, engines, frozenset(rule))


def _findings(table: _Table, comparing: _Comparing) -> Iterator[str]:
    """Yield a sentence for each way in which a table lets more through than engines' defaults."""
    promised = f'{table.where}{table.what} adopts "{ADOPT}", but '
    kept = f"note: {table.where}{table.what}: containers that bring the engine's default keep it: "
    if table.adopt == ADOPT_WEAKER and table.mode == _OFF:
        yield (
            f"note: {table.where}{table.what}: the mode off takes the filter away from containers "
            "that bring the engine's default."
        )
    if table.adopt != ADOPT:
        return
    own = "adopt" in table.written
    if table.mode not in AS_STRICT:
        more = f"the mode {table.mode} lets through what the engine's default denies"
        yield f"{promised}{more}; {_REMEDY}." if own else f"{kept}{more}."
    elif "profile" in table.written or own:
        for more in comparing.more(table):
            yield f"{promised}{more}; {_REMEDY}." if own else f"{kept}{more}."


class _Comparing:
    """Compares profiles with engines' defaults as the runtime in force loads them, each once."""

    def __init__(self, compiled: Compiled, facts: Facts) -> None:
        self._compiled = compiled
        self._facts = facts
        self._defaults = compiled.engine_defaults
        self._seen: dict[tuple[str, str], str] = {}
        self._profiles: dict[str, CompiledProfile] = {}
        self._known: profile_difference.Known = {}

    def own(self) -> Iterator[str]:
        """Yield a remark on each profile of the owner's that lets more through than the default."""
        usual = self._of_engine(RUNTIME_DEFAULT, UNKNOWN)
        for name in self._compiled.sources:
            default = name.rpartition(ON)[2] if ON in name else usual
            if name.startswith(LOCALHOST) and (calls := self._calls(default, name)):
                what = f"profile {name} lets through more than runtime-default ({default})"
                yield f"note: {what}: {calls}."

    def more(self, table: _Table) -> Iterator[str]:
        """Yield what a table's profile lets through more, for each installed engine it matches."""
        for engine, defaults in self._defaults.items():
            if engine not in self._facts.engines or not matches_any(table.engines, engine):
                continue
            other = self._of_engine(table.profile, engine)
            for default in defaults:
                if calls := self._calls(default, other):
                    yield (
                        f"the profile {other} lets through more than {default}, the default "
                        f"profile of {engine}: {calls}"
                    )

    def within(self, tables: list[_Table]) -> dict[str, list[str]]:
        """Return for each engine's default the profiles that let through no more.

        Of engines that are not installed, only the default itself is known to be among them.
        """
        found: dict[str, set[str]] = {}
        own = [name for name in self._compiled.sources if name.startswith(LOCALHOST)]
        for engine, defaults in self._defaults.items():
            is_here = engine in self._facts.engines or engine == UNKNOWN
            named = {self._of_engine(table.profile, engine) for table in tables}
            named |= {self._of_engine(RUNTIME_DEFAULT, engine), *own} if is_here else set()
            for default in defaults:
                within = {one for one in named if is_here and not self._calls(default, one)}
                found.setdefault(default, set()).update(within, {default})
        return {default: sorted(names) for default, names in sorted(found.items())}

    def _of_engine(self, profile: str, engine: str) -> str:
        return profile_of(profile, engine, self._compiled.policy)

    def _calls(self, default: str, other: str) -> str:
        """Return in words the calls that `other` lets through more, "" for none."""
        if default == other:
            return ""
        key = (default, other)
        if key not in self._seen:
            self._seen[key] = self._compared(default, other)
        return self._seen[key]

    def _compared(self, default: str, other: str) -> str:
        try:
            loader = Loader.of(self._facts.runtime_kind, self._facts.runtime_version)
            both = self._made(default), self._made(other)
            found = profile_difference.weaker(*both, loader, self._known)
        except ProfileError as error:
            return f"they cannot be compared, as {error}".rstrip(".")
        return safe_text.some(list(dict.fromkeys(map(_in_words, found))), _MOST_CALLS)

    def _made(self, name: str) -> CompiledProfile:
        """Compile a profile as it is injected, but for modes, ABIs and overlay: these only deny.

        The engine's default is treated in the same way: arguments are compared as the kernel reads
        them, if the policy wants that.
        """
        if name not in self._profiles:
            facts = self._facts
            source = self._compiled.sources.get(name) or of_facts(name, facts)
            if self._compiled.as_kernel:
                source = narrowed_comparisons.narrowed(source).profile
            made = compile_profile(source, arch=facts.arch, kernel=facts.kernel)
            self._profiles[name] = made
        return self._profiles[name]


def _in_words(one: profile_difference.ProfileChange) -> str:
    held = [name.removeprefix("CAP_") for name in sorted(one.capabilities)]
    return one.call.syscall + (f" (with {', '.join(held)})" if held else "")
