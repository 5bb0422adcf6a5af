"""The filter that a runtime saved when it created a container, and gives to what it executes there.

    runc    <root>/<id>/state.json     config.seccomp, from which each exec makes a filter
    crun    <root>/<id>/seccomp.bpf    the filter itself; without this file exec has none. It is a
                                       hard link into a cache that other containers share

Both are replaced by rename, never written in place. runc takes no lock: `runc update`, if it read
the file before, writes it back as it was, so whoever replaced it has to look again.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.host import files, runtime_state
from runc_wrap.host.container_discovery import RuntimeContainer
from runc_wrap.profiles import return_codes
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.tighten.laid_filter import LaidFilter

Json = dict[str, Any]
_FILES = {"runc": "state.json", "crun": "seccomp.bpf"}
_MODE = 0o700  # as crun creates it; runc's is there, and keeps its own
# As runc has them (libcontainer/configs/config.go Seccomp, seccomp/config.go): numbers from 1, and
# architectures by the names of Go; a rule has one call
_ACTIONS = "KILL ERRNO TRAP ALLOW TRACE LOG NOTIFY KILL_THREAD KILL_PROCESS".split()
_OPERATORS = "EQ NE GT GE LT LE MASKED_EQ".split()
_WORDS = {number: f"SCMP_ACT_{name}" for number, name in enumerate(_ACTIONS, 1)}
_COMPARED = {number: f"SCMP_CMP_{name}" for number, name in enumerate(_OPERATORS, 1)}
_NUMBERS = {word: number for one in (_WORDS, _COMPARED) for number, word in one.items()}
_GO = {"amd64": "X86_64", "arm64": "AARCH64", "loong64": "LOONGARCH64"}
_OF_GO = {name: go for go, name in _GO.items()}


class SavedState(NamedTuple):
    """`filters` is what an executed process gets: one filter, or none.

    `text` is runc's file, `block` the filter as that has it.
    """

    path: Path
    text: bytes
    filters: tuple[()] | tuple[bytes]
    block: Json | None = None

    @property
    def notifies(self) -> bool:
        """Whether it asks a listener about some calls."""
        made = (one for each in self.filters for one in bpf.program(each).instructions)
        return (bpf.RET_K, return_codes.USER_NOTIF) in {(code, k) for code, _, _, k in made}

    def has(self, laid: LaidFilter) -> bool:
        """Tell whether an executed process may make no call that a filter denies."""
        return not filter_comparison.weaker(self.filters, (laid.program,))

    def with_filter(self, laid: LaidFilter, loader: Loader) -> bytes:
        """Return the file for one filter that is as strict as the saved one and another.

        Raises ProfileError, BpfError or Refusal if there is none.
        """
        both = (*self.filters, laid.program)
        if loader.kind == "crun":
            return bpf.merged(*both) if self.filters else laid.program
        block = laid.merged_with(self.block)
        if left := filter_comparison.weaker((filter_comparison.installed(block, loader),), both):
            raise ProfileError(
                f"no single profile does what both do: {left[0].syscall} on {left[0].abi} would be "
                "let through to what runc executes in it; recreate the container instead"
            )
        state = json.loads(self.text)
        state["config"]["seccomp"] = saved_of(block)
        return json.dumps(state, separators=(",", ":")).encode()

    def replace(self, text: bytes) -> None:
        """Put another file in its place. Raises OSError."""
        files.replace(self.path, text, _MODE, is_synced=False, keeps=True)


def read(container: RuntimeContainer, loader: Loader) -> SavedState:
    """Return what a container's runtime saved. Raises OSError, ValueError, KeyError, Failure."""
    path = Path(container.root, container.id, _FILES[container.kind])
    if container.kind == "crun":
        filters = (files.read(path, runtime_state.LARGEST),) if path.exists() else ()
        return SavedState(path, b"", filters)
    text = files.read(path, runtime_state.LARGEST)
    saved = json.loads(text)["config"].get("seccomp")
    block = block_of(saved) if saved else None
    filters = (filter_comparison.installed(block, loader),) if block else ()
    return SavedState(path, text, filters, block)


def block_of(saved: Json) -> Json:
    """Return linux.seccomp of what runc saved. Raises ProfileError for what is not known."""
    try:
        abis = saved["architectures"] or ()
        return {
            "defaultAction": _WORDS[saved["default_action"]],
            "defaultErrnoRet": saved.get("default_errno_ret"),
            "architectures": [f"SCMP_ARCH_{_GO.get(one, one.upper())}" for one in abis],
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
