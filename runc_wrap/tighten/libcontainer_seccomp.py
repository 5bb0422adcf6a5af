"""The seccomp block as runc saves it in state.json, and as the OCI runtime-spec has it.

runc libcontainer/configs/config.go Seccomp and seccomp/config.go: actions and operators are
numbers from 1, architectures have Go's names, and a rule has one call.
"""

from __future__ import annotations

from typing import Any

from runc_wrap.profiles.source_profile import ProfileError

Json = dict[str, Any]
_ACTIONS = "KILL ERRNO TRAP ALLOW TRACE LOG NOTIFY KILL_THREAD KILL_PROCESS".split()
_OPERATORS = "EQ NE GT GE LT LE MASKED_EQ".split()
_WORDS = {number: f"SCMP_ACT_{name}" for number, name in enumerate(_ACTIONS, 1)}
_COMPARED = {number: f"SCMP_CMP_{name}" for number, name in enumerate(_OPERATORS, 1)}
_NUMBERS = {word: number for one in (_WORDS, _COMPARED) for number, word in one.items()}
_GO = {"amd64": "X86_64", "arm64": "AARCH64", "loong64": "LOONGARCH64"}
_OF_GO = {name: go for go, name in _GO.items()}


def block_of(saved: Json) -> Json:
    """Return linux.seccomp of what runc saved. Raises ProfileError for what is not known."""
    try:
        return {
            "defaultAction": _WORDS[saved["default_action"]],
            "defaultErrnoRet": saved.get("default_errno_ret"),
            "architectures": [
                f"SCMP_ARCH_{_GO.get(one, one.upper())}" for one in saved["architectures"] or ()
            ],
            "flags": saved.get("flags") or [],
            "syscalls": [_rule(one) for one in saved["syscalls"] or ()],
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ProfileError(f"runc saved a filter of an unknown form ({error!r})") from error


def _rule(saved: Json) -> Json:
    args = [
        {"index": one["index"], "value": one["value"], "valueTwo": one["value_two"]}
        | {"op": _COMPARED[one["op"]]}
        for one in saved["args"] or ()
    ]
    action = _WORDS[saved["action"]]
    rule = {"names": [saved["name"]], "action": action, "errnoRet": saved.get("errnoRet")}
    return {**rule, "args": args}


def saved_of(block: Json) -> Json:
    """Return what runc saves of a block; `flags` is null if the block has none."""
    names = [one.removeprefix("SCMP_ARCH_") for one in block.get("architectures") or ()]
    rules = [(name, one) for one in block.get("syscalls") or () for name in one["names"]]
    return {
        "default_action": _NUMBERS[block["defaultAction"]],
        "architectures": [_OF_GO.get(name, name.lower()) for name in names],
        "flags": block.get("flags") or None,
        "syscalls": [_saved_rule(*one) for one in rules],
        "default_errno_ret": block.get("defaultErrnoRet"),
    }


def _saved_rule(name: str, rule: Json) -> Json:
    args = [
        {"index": one["index"], "value": one["value"], "value_two": one.get("valueTwo") or 0}
        | {"op": _NUMBERS[one["op"]]}
        for one in rule.get("args") or ()
    ]
    action = _NUMBERS[rule["action"]]
    return {"name": name, "action": action, "errnoRet": rule.get("errnoRet"), "args": args}
