"""The seccomp block as runc saves it in state.json, and as the OCI runtime-spec has it.

runc libcontainer/configs/config.go Seccomp and seccomp/config.go: actions and operators are
numbers from 1, architectures have Go's names, and a rule has one call.
"""

from __future__ import annotations

from typing import Any

from runc_wrap.profiles.source_profile import ProfileError

Json = dict[str, Any]
_ACTIONS = ("KILL", "ERRNO", "TRAP", "ALLOW", "TRACE", "LOG", "NOTIFY", "KILL_THREAD",
            "KILL_PROCESS")  # fmt: skip
_OPERATORS = ("EQ", "NE", "GT", "GE", "LT", "LE", "MASKED_EQ")
_GO = {"amd64": "X86_64", "arm64": "AARCH64", "loong64": "LOONGARCH64"}
_OF_GO = {name: go for go, name in _GO.items()}


def block_of(saved: Json) -> Json:
    """Return linux.seccomp of what runc saved. Raises ProfileError for what is not known."""
    try:
        return _block_of(saved)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ProfileError(f"runc saved a filter of an unknown form ({error!r})") from error


def _block_of(saved: Json) -> Json:
    archs = saved["architectures"] or ()
    return {
        "defaultAction": f"SCMP_ACT_{_named(_ACTIONS, saved['default_action'])}",
        "defaultErrnoRet": saved.get("default_errno_ret"),
        "architectures": [f"SCMP_ARCH_{_GO.get(one, one.upper())}" for one in archs],
        "flags": saved.get("flags") or [],
        "syscalls": [
            {
                "names": [rule["name"]],
                "action": f"SCMP_ACT_{_named(_ACTIONS, rule['action'])}",
                "errnoRet": rule.get("errnoRet"),
                "args": [_argument(one) for one in rule["args"] or ()],
            }
            for rule in saved["syscalls"] or ()
        ],
    }


def _named(names: tuple[str, ...], number: int) -> str:
    if number < 1:
        raise IndexError(number)
    return names[number - 1]


def _argument(one: Json) -> Json:
    op = f"SCMP_CMP_{_named(_OPERATORS, one['op'])}"
    return {"index": one["index"], "value": one["value"], "valueTwo": one["value_two"], "op": op}


def saved_of(block: Json) -> Json:
    """Return what runc saves of a block; `flags` is left out if the block has none."""
    return {
        "default_action": _numbered(_ACTIONS, block["defaultAction"]),
        "architectures": [
            _OF_GO.get(name, name.lower())
            for name in (one.removeprefix("SCMP_ARCH_") for one in block.get("architectures") or ())
        ],
        "flags": block.get("flags") or None,
        "syscalls": [
            {
                "name": name,
                "action": _numbered(_ACTIONS, rule["action"]),
                "errnoRet": rule.get("errnoRet"),
                "args": [
                    {
                        "index": one["index"],
                        "value": one["value"],
                        "value_two": one.get("valueTwo") or 0,
                        "op": _numbered(_OPERATORS, one["op"]),
                    }
                    for one in rule.get("args") or ()
                ],
            }
            for rule in block.get("syscalls") or ()
            for name in rule["names"]
        ],
        "default_errno_ret": block.get("defaultErrnoRet"),
    }


def _numbered(names: tuple[str, ...], word: str) -> int:
    return names.index(word.split("_", 2)[2]) + 1
