"""A profile before it is compiled: its rules and the conditions under which they apply.

Conditions have moby's meaning (moby/profiles seccomp_linux.go): a rule applies when all of its
`includes` are met (every capability, one of the architectures, at least that kernel) and none of
its `excludes` is (any capability, any architecture, at least that kernel).
Architectures in conditions have libseccomp's names (x86, amd64, arm64, mipsel64, ...).
"""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from runc_wrap.documents.constraints import Among, Key, Within
from runc_wrap.failure import Failure
from runc_wrap.hotpath.operators import MASKED_EQ
from runc_wrap.profiles.runtime_spec_names import OPERATORS

Kernel = tuple[int, int]
_Number = Annotated[int, Within(0, (1 << 64) - 1)]


class ProfileError(Failure):
    """A profile that cannot be used; the text is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One comparison of a system call's argument (`args` of the OCI runtime-spec).

    For MASKED_EQ `value` is the mask, `value_two` the datum.
    """

    is_closed: ClassVar = True
    index: Annotated[int, Within(0, 5)]
    value: _Number
    op: Annotated[str, Among(*sorted(OPERATORS))]
    value_two: Annotated[_Number, Key("valueTwo")] = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """The conditions of `includes` or `excludes`; one without fields set always applies."""

    caps: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    min_kernel: Kernel | None = None


ANYWHERE = Condition()


def alternatives(args: tuple[Argument, ...]) -> list[tuple[Argument, ...]]:
    """Return the comparisons of each rule that runtimes make of one: repeated indexes split it."""
    is_repeated = len({one.index for one in args}) < len(args)
    return [(one,) for one in args] if is_repeated else [args]


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `syscalls`; errno_ret None means the runtime's default (EPERM)."""

    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[Argument, ...] = ()
    includes: Condition = ANYWHERE
    excludes: Condition = ANYWHERE

    @property
    def compares(self) -> bool:
        """Tell whether it is about some arguments only; libseccomp drops masks without a bit."""
        groups = alternatives(self.args)
        return all(any(one.op != MASKED_EQ or one.value for one in group) for group in groups)

    def meets(self, other: "Rule") -> bool:
        """Tell whether the conditions of both may hold at once, whatever arguments they compare."""
        wanted = {*self.includes.arches}, {*other.includes.arches}
        return not (
            (all(wanted) and wanted[0].isdisjoint(wanted[1]))
            or _exclude(self.includes, other.excludes)
            or _exclude(other.includes, self.excludes)
        )


def _exclude(wanted: Condition, unwanted: Condition) -> bool:
    """Tell whether what `includes` has is what another rule's `excludes` has."""
    since, before = wanted.min_kernel, unwanted.min_kernel
    return bool(
        {*wanted.caps} & {*unwanted.caps}
        or (wanted.arches and {*wanted.arches} <= {*unwanted.arches})
        or (since and before and since >= before)
    )


@dataclass(frozen=True, slots=True)
class Profile:
    """A whole profile.

    `architectures` applies on every machine; `arch_map` lists them for each machine, by GOARCH. At
    most one of them is set. `flags` None leaves the choice to the runtime; () requests no flags.
    `version` is the engine's, for built-in profiles.
    """

    name: str
    version: str | None
    default_action: str
    rules: tuple[Rule, ...]
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] = ()
    arch_map: dict[str, tuple[str, ...]] = field(default_factory=dict)
    flags: tuple[str, ...] | None = None
    listener_path: str | None = None
    listener_metadata: str | None = None

    def abis(self, arch: str) -> tuple[str, ...]:
        """Return the ABIs that it lists on a machine; () means only the native one."""
        return self.architectures or self.arch_map.get(arch, ())
