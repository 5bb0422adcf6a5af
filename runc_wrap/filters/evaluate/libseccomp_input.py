"""What runc and crun pass to libseccomp when they load a resolved linux.seccomp block.

Sources: runc libcontainer/specconv SetupSeccomp, libcontainer/seccomp/seccomp_linux.go
(InitSeccomp, matchCall) and patchbpf of 1.1.15 to 1.5.1; crun src/libcrun/seccomp.c
libcrun_generate_seccomp of 1.21. Both:

* add the listed ABIs to the machine's own, which libseccomp always has;
* leave the action for other ABIs as libseccomp sets it: KILL_THREAD (src/db.c, act_badarch);
* drop rules whose action, including the errno, is the default's;
* ignore names that their libseccomp does not know;
* make one rule of each condition (joined by OR) if one argument is compared more than once,
  otherwise one rule of all of them (AND). crun reads only six conditions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from runc_wrap.profiles import abis, actions, libseccomp_releases, return_codes, syscall_names
from runc_wrap.profiles.abis import Abi
from runc_wrap.profiles.arguments.parameter_widths import ARGUMENTS
from runc_wrap.profiles.engine_versions import Version, parse, reached
from runc_wrap.profiles.runtime_spec_names import ACTIONS_WITH_ERRNO, NOTIFY, OPERATORS
from runc_wrap.profiles.source_profile import Argument, ProfileError, alternatives

Block = Mapping[str, Any]
# runc patchbpf isAllowAction, since 1.0.0-rc93
_WITHOUT_STUB = frozenset({"SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"})
# since these releases the stub covers the machine's own ABI even if it is not listed
_STUB_NATIVE_SINCE = "1.1.15 1.2.0"
# runc's bug: it compares defaultErrnoRet with the encoded action, so that plain 38 does not match
_STUB_SKIPPED_FOR = return_codes.ERRNO | 38


@dataclass(frozen=True, slots=True)
class Loader:
    """The runtime that loads the profile; a `version` of None means a current one.

    `library` is the release of its libseccomp; None means the one that this program has loaded.
    """

    kind: Literal["runc", "crun"]
    version: Version | None = None
    library: Version | None = None

    @classmethod
    def of(cls, kind: str, version: str, library: str | None = None) -> "Loader":
        """Return a loader for the versions that the runtime prints: its own, its libseccomp's.

        Raises ProfileError for another runtime, or for text that is not a version.
        """
        linked = parse(library) if library else None
        if kind in ("runc", "crun"):
            return cls(kind, parse(version), linked)  # type: ignore[arg-type]  # it is one of them
        raise ProfileError(f"how {kind!r} loads profiles is not known; use runc or crun")


@dataclass(frozen=True, slots=True)
class Added:
    """One seccomp_rule_add: the filter returns `code` if all conditions hold."""

    name: str
    code: int
    conditions: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """Everything passed to libseccomp, and the stub that runc puts before the filter.

    `abis` begins with the machine's own. `dropped` are rules that both runtimes leave out, since
    they say what the default does; libseccomp does not see them. `stub` is {ABI: largest number
    named}: runc returns ENOSYS for numbers above; empty without a stub. `optimized` is runc's
    binary tree (from 1.2).
    """

    default: int
    abis: tuple[Abi, ...]
    rules: tuple[Added, ...]
    dropped: tuple[Added, ...]
    stub: Mapping[Abi, int]
    optimized: bool = False


def load(block: Block, loader: Loader) -> Load:
    """Return what the runtime passes to libseccomp. Raises ProfileError for what it refuses."""
    action = block.get("defaultAction")
    if not isinstance(action, str) or not action:
        raise ProfileError("the profile has no defaultAction; write one like SCMP_ACT_ERRNO")
    if loader.kind == "runc" and action == NOTIFY:
        raise ProfileError("runc refuses SCMP_ACT_NOTIFY as the default action; name calls")
    default = _code(action, block.get("defaultErrnoRet"), loader)
    native = syscall_names.native()
    listed = [abis.of_oci(name) for name in block.get("architectures") or ()]
    if other := [abi.oci for abi in listed if abi.little != native.little]:
        raise ProfileError(f"remove {other[0]} from architectures: it has another byte order")
    entries = list(block.get("syscalls") or ())
    count = sum(len(entry["names"]) for entry in entries)
    rules = [rule for entry in entries for rule in _rules(entry, loader)]
    return Load(
        default=default,
        abis=tuple(dict.fromkeys([native, *listed])),
        rules=tuple(rule for rule in rules if rule.code != default),
        dropped=tuple(rule for rule in rules if rule.code == default),
        stub=_stub(block, listed, loader),
        optimized=loader.kind == "runc" and _is_at_least(loader, "1.2.0") and count > 32,  # noqa: PLR2004
    )


def _is_at_least(loader: Loader, first: str) -> bool:
    return loader.version is None or reached(loader.version, first)


def _code(action: str, errno_ret: int | None, loader: Loader) -> int:
    if errno_ret is not None and loader.kind == "crun" and action not in ACTIONS_WITH_ERRNO:
        raise ProfileError(f"crun refuses an errno for the action {action}; leave it out")
    return actions.code(action, errno_ret)


def _rules(entry: Mapping[str, Any], loader: Loader) -> list[Added]:
    code = _code(entry["action"], entry.get("errnoRet"), loader)
    arguments = (entry.get("args") or ())[: ARGUMENTS if loader.kind == "crun" else None]
    several = alternatives(tuple(map(comparison, arguments)))
    return [
        Added(name, code, conditions)
        for name in _known(entry["names"], loader)
        if syscall_names.resolved(syscall_names.native(), name) != syscall_names.UNKNOWN
        for conditions in several
    ]


def _known(names: Iterable[str], loader: Loader) -> list[str]:
    """Return those of the names that the runtime's libseccomp may know."""
    if loader.library is None:
        return list(names)
    lacking = libseccomp_releases.lacking(loader.library)
    return [name for name in names if name not in lacking]


def comparison(argument: Mapping[str, Any]) -> Argument:
    """Return an entry's argument as libseccomp's comparison. Raises ProfileError if invalid."""
    index, op = argument["index"], argument["op"]
    if not 0 <= index < ARGUMENTS:
        raise ProfileError(f"the argument index {index} is not one of 0 to 5")
    if op not in OPERATORS:
        raise ProfileError(f"the operator {op!r} is not known")
    return Argument(index, argument["value"], op, argument.get("valueTwo") or 0)


def _stub(block: Block, listed: list[Abi], loader: Loader) -> dict[Abi, int]:
    """Return runc's stub (patchbpf findLastSyscalls), which counts names of dropped rules, too."""
    skipped = block.get("defaultErrnoRet") == _STUB_SKIPPED_FOR
    if loader.kind != "runc" or block["defaultAction"] in _WITHOUT_STUB or skipped:
        return {}
    covered = dict.fromkeys(listed)
    if _is_at_least(loader, _STUB_NATIVE_SINCE):
        covered[syscall_names.native()] = None
    entries = block.get("syscalls") or ()
    names = {name for entry in entries for name in _known(entry["names"], loader)}
    largest = {
        abi: max(map(partial(syscall_names.resolved, abi), names), default=0) for abi in covered
    }
    return {abi: number for abi, number in largest.items() if number > 0}
