"""The notation for an engine's default profile that covers all its versions at once."""

from dataclasses import dataclass

from runc_wrap.profiles.engine_versions import Version, listed, within
from runc_wrap.profiles.runtime_spec_names import ALLOW
from runc_wrap.profiles.source_profile import ANYWHERE, Argument, Condition, Profile, Rule


@dataclass(frozen=True, slots=True)
class Calls:
    """System calls, space-separated, and the releases that name them (see versions)."""

    names: str
    since: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class DatedRule:
    """A rule that, wholly or in some of its names, exists in some releases only."""

    calls: tuple[Calls, ...]
    action: str = ALLOW
    errno_ret: int | None = None
    args: tuple[Argument, ...] = ()
    includes: Condition = ANYWHERE
    excludes: Condition = ANYWHERE
    since: str = ""
    until: str = ""

    def at(self, version: Version) -> Rule | None:
        """Return the rule of a release, its names sorted; None if the release lacks it."""
        names = self._names(version) if within(version, self.since, self.until) else ()
        if not names:
            return None
        return Rule(names, self.action, self.errno_ret, self.args, self.includes, self.excludes)

    def _names(self, version: Version) -> tuple[str, ...]:
        held = (calls for calls in self.calls if within(version, calls.since, calls.until))
        return tuple(sorted(name for calls in held for name in calls.names.split()))


@dataclass(frozen=True, slots=True)
class Architectures:
    """What an engine lists in `architectures` on the machine `goarch`, and since which release."""

    goarch: str
    listed: str
    since: str = ""


@dataclass(frozen=True, slots=True)
class DefaultByRelease:
    """An engine's default profile by release. `releases`: the last one read of each series."""

    name: str
    oldest: str
    releases: str
    default_action: str
    default_errno_ret: int | None
    architectures: tuple[Architectures, ...]
    rules: tuple[DatedRule, ...]

    def at(self, version: Version) -> Profile:
        """Return the profile that a known release applies."""
        rules = (rule.at(version) for rule in self.rules)
        return Profile(
            name=self.name,
            version=str(version),
            default_action=self.default_action,
            default_errno_ret=self.default_errno_ret,
            arch_map=self._arch_map(version),
            rules=tuple(rule for rule in rules if rule is not None),
        )

    def known(self) -> tuple[Version, ...]:
        """Return the last release read of each series, oldest first."""
        return listed(self.releases)

    def _arch_map(self, version: Version) -> dict[str, tuple[str, ...]]:
        return {
            entry.goarch: tuple("SCMP_ARCH_" + word for word in entry.listed.split())
            for entry in self.architectures
            if within(version, entry.since, "")
        }


def calls(names: str, *, since: str = "", until: str = "") -> tuple[Calls, ...]:
    """Return one group of calls, which the tables add to others."""
    return (Calls(names, since, until),)


def with_caps(*caps: str) -> Condition:
    """Return a condition on capabilities only."""
    return Condition(caps=caps)


def on(*arches: str) -> Condition:
    """Return a condition on architectures only, by libseccomp's names."""
    return Condition(arches=arches)
