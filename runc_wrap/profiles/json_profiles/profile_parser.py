"""Reading profile files: the OCI runtime-spec's linux.seccomp, moby's and containers/common's.

The three are one family: moby adds archMap, name, comment, includes and excludes; containers/common
adds errno and defaultErrno as strings, which override the numbers. A file may use all of these.
minKernel applies in every file, though containers/common itself ignores it, and archMap applies to
every architecture. What runc or crun refuses is refused here, with its place.

A SeccompProfile of security-profiles-operator (its api/seccompprofile/v1) holds such a profile as
its `spec`, as `kubectl get seccompprofile -o json` prints it. There an errnoRet of 0 means that
none is set. The operator itself adds the profile that baseProfileName names, which is not in the
object: one with a base is refused.
"""

import errno
from typing import Annotated, Any

from runc_wrap.documents.constraints import Among, Key, Like, Most, Within
from runc_wrap.documents.reader import closed
from runc_wrap.profiles import actions
from runc_wrap.profiles.arguments.parameter_widths import ARGUMENTS
from runc_wrap.profiles.json_profiles.strict_json import MAX_BYTES, decode, taken
from runc_wrap.profiles.return_codes import DATA_MASK
from runc_wrap.profiles.runtime_spec_names import (
    ACTIONS,
    ACTIONS_WITH_ERRNO,
    ARCHITECTURES,
    CONDITION_ARCHES,
    FLAGS,
    GOARCH,
    NOTIFY,
    TRACE,
)
from runc_wrap.profiles.source_profile import Argument, Condition, Profile, ProfileError, Rule

# libseccomp refuses more (src/db.c, db_action_valid): neither runc nor crun starts a container
MAX_ERRNO = 4094
_ERRNO = {name: number for number, name in errno.errorcode.items()}

_KIND, _GROUP = "SeccompProfile", "security-profiles-operator.x-k8s.io/"
# `disabled` and targetWorkload until v1alpha1, `state` since v1 (api/profilebase/v1)
_OF_THE_OBJECT = ("state", "disabled", "baseProfileName", "targetWorkload")
_INSTALLED = "its status.localhostProfile below /var/lib/kubelet/seccomp"

# JSON can say half of a surrogate pair, which no file can hold
Text = Annotated[str, Most(MAX_BYTES), Like("[^\ud800-\udfff]*", "whole characters")]
_Action = Annotated[str, Among(*sorted(ACTIONS))]
_Architecture = Annotated[str, Among(*sorted(ARCHITECTURES))]
_NAME, _NAMED = r"[A-Za-z_]\w*", "a system call like openat"
_Number = Annotated[int | None, Within(0, DATA_MASK)]


@closed
class Conditions:
    """What `includes` or `excludes` has."""

    caps: tuple[Annotated[str, Like("CAP_[A-Z0-9_]+", "a capability like CAP_KILL")], ...] = ()
    arches: tuple[Annotated[str, Among(*sorted(CONDITION_ARCHES))], ...] = ()
    min_kernel: Annotated[
        str | None,
        Like(r"(?!0\.0$)\d{1,3}\.\d{1,3}", "a kernel version like 4.8"),
        Key("minKernel"),
    ] = None

    @property
    def condition(self) -> Condition:
        """The same as a rule has it."""
        version, _, major = (self.min_kernel or "").partition(".")
        return Condition(self.caps, self.arches, (int(version), int(major)) if major else None)


@closed
class _FileRule:
    action: _Action
    name: Annotated[str, Like(f"({_NAME})?", _NAMED)] = ""  # moby's, formerly
    names: tuple[Annotated[str, Like(_NAME, _NAMED)], ...] = ()
    errno_ret: Annotated[_Number, Key("errnoRet")] = None
    errno: Text = ""
    args: tuple[Argument, ...] = ()
    comment: Text = ""
    remark: Annotated[Any, Key("_comment")] = None
    includes: Conditions = Conditions()
    excludes: Conditions = Conditions()

    def __post_init__(self) -> None:
        if self.name and self.names:
            raise ValueError("name is given together with names; keep names")
        if not (self.name or self.names):
            raise ValueError("names no system call; name one or remove the rule")
        if self.action == NOTIFY and "write" in (self.name, *self.names):
            raise ValueError("runc refuses SCMP_ACT_NOTIFY on write; leave write out")
        _errno(self.action, self.errno, self.errno_ret)

    @property
    def rule(self) -> Rule:
        number = _errno(self.action, self.errno, self.errno_ret)
        names = self.names or (self.name,)
        conditions = self.includes.condition, self.excludes.condition
        return Rule(names, self.action, number, self.args, *conditions)


@closed
class _ArchMap:
    architecture: _Architecture
    others: Annotated[tuple[_Architecture, ...], Key("subArchitectures")] = ()


@closed
class _Document:
    action: Annotated[_Action, Key("defaultAction")]
    errno_ret: Annotated[_Number, Key("defaultErrnoRet")] = None
    errno: Annotated[Text, Key("defaultErrno")] = ""
    architectures: tuple[_Architecture, ...] | None = None
    arch_map: Annotated[tuple[_ArchMap, ...] | None, Key("archMap")] = None
    flags: tuple[Annotated[str, Among(*sorted(FLAGS))], ...] | None = None
    listener_path: Annotated[Text | None, Key("listenerPath")] = None
    listener_metadata: Annotated[Text | None, Key("listenerMetadata")] = None
    syscalls: tuple[_FileRule, ...] = ()
    comment: Any = None  # files in the field have these three, which every runtime ignores
    description: Any = None
    remark: Annotated[Any, Key("_comment")] = None

    def __post_init__(self) -> None:
        if self.action == NOTIFY:
            raise ValueError("runc refuses SCMP_ACT_NOTIFY as defaultAction; name calls")
        if None not in (self.architectures, self.arch_map):
            raise ValueError("archMap is given together with architectures; keep one of them")
        many = {one.action for one in self.syscalls if len(one.args) > ARGUMENTS}
        own, *others = (actions.restriction(actions.code(one)) for one in (self.action, *many))
        if any(one < own for one in others):
            raise ValueError("crun reads six args, runc makes a rule of each: write one for each")
        _errno(self.action, self.errno, self.errno_ret)


def parse(data: bytes, source: str) -> Profile:
    """Return the profile in a file's bytes; `source` names it in the profile and in errors.

    Raises ProfileError.
    """
    document = _unwrapped(decode(data, source), source)
    if isinstance(document, dict) and "ociVersion" in document:
        raise ProfileError(
            f"{source}: ociVersion: found a container's config.json, wanted its linux.seccomp; "
            "`jq .linux.seccomp` prints that"
        )
    top = taken(_Document, document, source)
    arch_map: dict[str, tuple[str, ...]] = {}
    for one in top.arch_map or ():
        if one.architecture in GOARCH:  # of two entries for one architecture the first counts
            arch_map.setdefault(GOARCH[one.architecture], (one.architecture, *one.others))
    return Profile(
        name=source,
        version=None,
        default_action=top.action,
        default_errno_ret=_errno(top.action, top.errno, top.errno_ret),
        architectures=top.architectures or (),
        arch_map=arch_map,
        flags=top.flags,
        listener_path=top.listener_path,
        listener_metadata=top.listener_metadata,
        rules=tuple(one.rule for one in top.syscalls),
    )


def _unwrapped(document: object, source: str) -> object:
    """Return the profile in a SeccompProfile; any other document as it is."""
    if not isinstance(document, dict) or "kind" not in document:
        return document
    kind, version = document["kind"], str(document.get("apiVersion"))
    if kind != _KIND or not version.startswith(_GROUP):
        raise ProfileError(
            f"{source}: kind: found {kind!a} of {version!a}, wanted one {_KIND} of {_GROUP}v1; "
            "`kubectl get seccompprofile <name> --output json` prints one"
        )
    spec = document.get("spec")
    if not isinstance(spec, dict):
        raise ProfileError(f"{source}: spec: missing; it holds the profile")
    if base := spec.get("baseProfileName"):
        raise ProfileError(
            f"{source}: spec.baseProfileName: the operator adds {base!a}, which is not in this "
            f'object; read what it installed, {_INSTALLED}, or write a file with "base" and "add"'
        )
    if spec.get("disabled") or spec.get("state") == "Disabled":
        raise ProfileError(f"{source}: spec: it is disabled: the operator installs no such profile")
    rules = spec.get("syscalls")
    kept = {key: value for key, value in spec.items() if key not in _OF_THE_OBJECT}
    if isinstance(rules, list):
        kept["syscalls"] = [_with_zeros(rule) if isinstance(rule, dict) else rule for rule in rules]
    return kept


def _with_zeros(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule as OCI has it: there a value of 0 is left out, and an errnoRet of 0 is none."""
    found = {key: value for key, value in rule.items() if (key, value) != ("errnoRet", 0)}
    if isinstance(args := rule.get("args"), list):
        found["args"] = [{"value": 0, **one} if isinstance(one, dict) else one for one in args]
    return found


def _errno(action: str, text: str, number: int | None) -> int | None:
    """Return the error number; the string, a name or a decimal, overrides the number."""
    if text.isdecimal() and text.isascii() and len(text) <= len(str(MAX_ERRNO)):
        number = int(text)
    elif text:
        number = _ERRNO.get(text, MAX_ERRNO + 1)
    if number is not None and number > MAX_ERRNO and (text or action != TRACE):
        raise ValueError(f"found {text or number!a}, wanted an error of errno(3), EPERM or 1")
    if number is not None and action not in ACTIONS_WITH_ERRNO:
        raise ValueError(f"an errno has no meaning with {action}; use SCMP_ACT_ERRNO or drop it")
    return number
