"""CRI-O's stricter version of the containers/common profile, 1.25 and later.

Source: internal/config/seccomp/seccomp.go and go.mod at every release tag from v1.25.0 to
v1.36.3 (0.64.1 stands for the containers/common 0.64.2 of 1.34, which was not available).
`unshare` needs CAP_SYS_ADMIN in all of them; `clone` with namespace flags and `clone3` since
1.29.9, 1.30.6 and 1.31.0.
"""

import errno
from dataclasses import replace

from runc_wrap.host import engine_names
from runc_wrap.profiles.engine_defaults import dated_rules as dated
from runc_wrap.profiles.engine_defaults.containers_common import CONTAINERS_COMMON
from runc_wrap.profiles.engine_versions import Version, parse, reached
from runc_wrap.profiles.runtime_spec_names import ALLOW, ERRNO
from runc_wrap.profiles.source_profile import ANYWHERE, Argument, Condition, Profile, Rule

# first CRI-O release -> the containers/common it is built with; only where the profile changed
_BUILT_WITH = {"1.35.1": "0.67.2", "1.33.0": "0.63.0", "1.31.0": "0.60.2", "1.25.0": "0.57.1"}
_CLONE_GUARDED = "1.29.9 1.30.6 1.31.0"


class _StricterCommon(dated.DefaultByRelease):
    """containers/common's by CRI-O's releases, with fewer ways to a namespace."""

    def at(self, version: Version) -> Profile:
        """Return the profile that a release of CRI-O applies."""
        built_with = next(one for first, one in _BUILT_WITH.items() if version >= parse(first))
        common = super().at(parse(built_with))
        moved: tuple[str, ...] = ("unshare",)
        more: tuple[Rule, ...] = ()
        if reached(version, _CLONE_GUARDED):
            moved, unknown = ("clone", "clone3", "unshare"), dated.clone3_unknown().at(version)
            more = (
                *_guards(0, Condition(arches=dated.S390), ANYWHERE),
                *_guards(1, ANYWHERE, dated.on(*dated.S390)),
                *filter(None, [unknown]),
            )
        kept = (_without(rule, moved) for rule in common.rules)
        rules = (*kept, Rule(moved, ALLOW, includes=dated.ADMIN), *more)
        return replace(common, version=str(version), rules=rules)


CRIO = _StricterCommon(
    name=engine_names.CRIO.profile,
    oldest="1.25.0",
    releases="1.25.5 1.26.5 1.27.8 1.28.11 1.29.13 1.30.14 1.31.13 1.32.13 1.33.13 1.34.11 1.36.3",
    default_action=CONTAINERS_COMMON.default_action,
    default_errno_ret=CONTAINERS_COMMON.default_errno_ret,
    architectures=CONTAINERS_COMMON.architectures,
    rules=CONTAINERS_COMMON.rules,
)


def _without(rule: Rule, moved: tuple[str, ...]) -> Rule:
    """Remove the moved calls from the rule that allows them unconditionally."""
    if rule.action != ALLOW or rule.includes != ANYWHERE or rule.args:
        return rule
    return replace(rule, names=tuple(name for name in rule.names if name not in moved))


def _guards(index: int, excludes: Condition, includes: Condition) -> tuple[Rule, Rule]:
    """Return CRI-O's rules for clone with its flags at this position.

    The seven comparisons of the second rule share an argument, so runtimes join them by OR.
    """
    masked = "SCMP_CMP_MASKED_EQ"
    none = (Argument(index, sum(dated.NAMESPACE_FLAGS), masked),)
    one = tuple(Argument(index, flag, masked, flag) for flag in dated.NAMESPACE_FLAGS)
    unless = replace(excludes, caps=dated.ADMIN.caps)
    return (
        Rule(("clone",), ALLOW, None, none, includes, excludes),
        Rule(("clone",), ERRNO, errno.EPERM, one, includes, unless),
    )
