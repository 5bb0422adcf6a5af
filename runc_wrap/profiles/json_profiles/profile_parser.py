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
import re
from collections.abc import Iterator

from runc_wrap.profiles.json_profiles.json_fields import UINT64_MAX, Fields, decode
from runc_wrap.profiles.return_codes import DATA_MASK
from runc_wrap.profiles.runtime_spec_names import (
    ACTIONS,
    ACTIONS_WITH_ERRNO,
    ARCHITECTURES,
    CONDITION_ARCHES,
    FLAGS,
    GOARCH,
    NOTIFY,
    OPERATORS,
    TRACE,
)
from runc_wrap.profiles.source_profile import (
    Argument,
    Condition,
    Kernel,
    Profile,
    ProfileError,
    Rule,
)

# libseccomp refuses more (src/db.c, db_action_valid): neither runc nor crun starts a container
MAX_ERRNO = 4094
LAST_ARGUMENT = 5

_TOP = frozenset(
    {
        "defaultAction",
        "defaultErrnoRet",
        "defaultErrno",
        "architectures",
        "archMap",
        "flags",
        "listenerPath",
        "listenerMetadata",
        "syscalls",
        "comment",  # files in the field have these two, which every runtime ignores
        "description",
    }
)
_RULE = frozenset(
    {
        "name",
        "names",
        "action",
        "errnoRet",
        "errno",
        "args",
        "comment",
        "includes",
        "excludes",
    }
)
_ARGUMENT = frozenset({"index", "value", "valueTwo", "op"})
_CONDITION = frozenset({"caps", "arches", "minKernel"})
_ARCH_MAP = frozenset({"architecture", "subArchitectures"})

_KIND, _GROUP = "SeccompProfile", "security-profiles-operator.x-k8s.io/"
_OF_THE_OBJECT = ("disabled", "baseProfileName", "targetWorkload")  # the last until v1alpha1
_INSTALLED = "/var/lib/kubelet/seccomp/operator/<name>.json"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CAPABILITY = re.compile(r"CAP_[A-Z0-9_]+")
_KERNEL = re.compile(r"(\d{1,3})\.(\d{1,3})")


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
    top = Fields(document, source, "", _TOP)
    action = top.word("defaultAction", ACTIONS) or top.fail(
        "defaultAction", "missing; write SCMP_ACT_ERRNO to deny what no rule names"
    )
    if action == NOTIFY:
        top.fail("defaultAction", "runc refuses SCMP_ACT_NOTIFY for every call; name calls")
    if top.has("architectures") and top.has("archMap"):
        top.fail("archMap", "is given together with architectures; keep one of them")
    return Profile(
        name=source,
        version=None,
        default_action=action,
        default_errno_ret=_errno(top, "defaultErrno", "defaultErrnoRet", action),
        architectures=top.words("architectures", ARCHITECTURES),
        arch_map=_arch_map(top),
        flags=top.words("flags", FLAGS) if top.has("flags") else None,
        listener_path=top.text("listenerPath"),
        listener_metadata=top.text("listenerMetadata"),
        rules=tuple(_rule(fields) for fields in top.objects("syscalls", _RULE)),
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
    if spec.get("disabled"):
        raise ProfileError(f"{source}: spec.disabled: the operator installs no such profile")
    rules = spec.get("syscalls")
    kept = {key: value for key, value in spec.items() if key not in _OF_THE_OBJECT}
    if isinstance(rules, list):
        kept["syscalls"] = [_without_errno_0(rule) for rule in rules]
    return kept


def _without_errno_0(rule: object) -> object:
    if isinstance(rule, dict) and rule.get("errnoRet") == 0:
        return {key: value for key, value in rule.items() if key != "errnoRet"}
    return rule


def _arch_map(top: Fields) -> dict[str, tuple[str, ...]]:
    """Return archMap by GOARCH; of two entries for one architecture the first counts."""
    found: dict[str, tuple[str, ...]] = {}
    for fields in top.objects("archMap", _ARCH_MAP):
        architecture = fields.word("architecture", ARCHITECTURES) or fields.fail(
            "architecture", "missing; name one like SCMP_ARCH_X86_64"
        )
        subordinate = fields.words("subArchitectures", ARCHITECTURES)
        if architecture in GOARCH:
            found.setdefault(GOARCH[architecture], (architecture, *subordinate))
    return found


def _rule(fields: Fields) -> Rule:
    names = _names(fields)
    action = fields.word("action", ACTIONS) or fields.fail(
        "action", "missing; write SCMP_ACT_ALLOW to allow the calls named"
    )
    if action == NOTIFY and "write" in names:
        fields.fail("action", "runc refuses SCMP_ACT_NOTIFY on write; leave write out")
    fields.text("comment")
    includes, excludes = conditions(fields)
    return Rule(
        names=names,
        action=action,
        errno_ret=_errno(fields, "errno", "errnoRet", action),
        args=tuple(arguments(fields)),
        includes=includes,
        excludes=excludes,
    )


def conditions(fields: Fields) -> tuple[Condition, Condition]:
    """Return an entry's `includes` and `excludes`. Raises ProfileError."""
    includes, excludes = (fields.nested(key, _CONDITION) for key in ("includes", "excludes"))
    return _condition(includes), _condition(excludes)


def _names(fields: Fields) -> tuple[str, ...]:
    """Return the calls of a rule, from `names` or from moby's former `name`."""
    former, names = fields.text("name"), fields.words("names")
    if former and names:
        fields.fail("name", "is given together with names; keep names")
    names = names or ((former,) if former else ())
    if not names:
        fields.fail("names", "names no system call; name one or remove the rule")
    for name in names:
        if not _NAME.fullmatch(name):
            fields.fail("names", f"{name!r} is not a system call's name; write it like openat")
    return names


def _errno(fields: Fields, text_key: str, number_key: str, action: str) -> int | None:
    """Return the error number; the string, a name or a decimal, overrides the number."""
    number = fields.integer(number_key, DATA_MASK if action == TRACE else MAX_ERRNO)
    if text := fields.text(text_key):
        number = _errno_of(fields, text_key, text)
    if number is not None and action not in ACTIONS_WITH_ERRNO:
        fields.fail(number_key, f"has no meaning with {action}; use SCMP_ACT_ERRNO or drop it")
    return number


def _errno_of(fields: Fields, key: str, text: str) -> int:
    if text.isdecimal() and text.isascii() and len(text) <= len(str(MAX_ERRNO)):
        number = int(text)
    else:
        numbers = {name: number for number, name in errno.errorcode.items()}
        number = getattr(errno, text) if text in numbers else MAX_ERRNO + 1
    if number > MAX_ERRNO:
        fields.fail(key, f"{text!r} is not an error of errno(3); write it like EPERM or 1")
    return number


def arguments(fields: Fields) -> Iterator[Argument]:
    """Yield the comparisons of an entry's `args`. Raises ProfileError."""
    for argument in fields.objects("args", _ARGUMENT):
        index = argument.integer("index", LAST_ARGUMENT)
        value = argument.integer("value", UINT64_MAX)
        if index is None or value is None:
            missing = "index" if index is None else "value"
            argument.fail(missing, "missing; a comparison needs index, value and op")
        op = argument.word("op", OPERATORS) or argument.fail(
            "op", "missing; write a comparison like SCMP_CMP_EQ"
        )
        yield Argument(index, value, op, argument.integer("valueTwo", UINT64_MAX) or 0)


def _condition(fields: Fields) -> Condition:
    caps = fields.words("caps")
    for cap in caps:
        if not _CAPABILITY.fullmatch(cap):
            fields.fail("caps", f"{cap!r} is not a capability; write it like CAP_SYS_ADMIN")
    return Condition(caps, fields.words("arches", CONDITION_ARCHES), _min_kernel(fields))


def _min_kernel(fields: Fields) -> Kernel | None:
    text = fields.text("minKernel")
    if text is None:
        return None
    match = _KERNEL.fullmatch(text)
    if match is None or text == "0.0":
        fields.fail("minKernel", f"{text!r} is not a kernel version; write it like 4.8")
    return int(match[1]), int(match[2])
