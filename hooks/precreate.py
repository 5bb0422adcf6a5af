"""Podman's precreate hook: injects the profile without replacing the runtime.

Podman writes a container's config to stdin and uses the hook's stdout instead. If the exit status
is not 0, Podman does not create the container and shows only that status; the hook writes the
reason to stderr and the system's log. The same code decides as for `runc-wrap create`, and the
decision goes to the same ledger, with `via` "hook".

Podman runs the hook in the bundle, <storage>/<id>/userdata, and does not name the runtime. Give
`--runtime runc` or `--runtime crun` if it is not the one in force.
"""

import posix
import sys
import syslog
import time

sys.path.insert(0, sys.argv[1])

from runc_wrap.hotpath import config_file, container_identity, ledger_file, main, policy_file
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.create_facts import Call
from runc_wrap.hotpath.decision import Decision
from runc_wrap.hotpath.errors import Refusal, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runc_wrap.hotpath.compiled_policy import CompiledPolicy

    Json = dict[str, Any]

_BUNDLE = "userdata"
STRICTEST = "crun"  # its rules for configs apply if the runtime is not known
# runtime-spec:specs-go/config.go LinuxSeccomp, LinuxSyscall, LinuxSeccompArg
_BLOCK = (
    "defaultAction defaultErrnoRet architectures flags listenerPath listenerMetadata syscalls"
).split()
_RULE = ("names", "action", "errnoRet", "args")
_ARGUMENT = ("index", "value", "valueTwo", "op")
_ALWAYS = ("names", "action", "index", "value", "op")


def hook(prefix: str, kind: str, invocation: Invocation, text: bytes) -> "tuple[bytes, Json]":
    """Return the container's new config and the ledger's line. Raises Refusal."""
    policy = policy_file.load(prefix)
    try:
        return confined(policy, kind or STRICTEST, invocation, text)
    except Exception as error:
        if policy["on_error"] != "run-unmodified":
            raise
        reason = str(error) if isinstance(error, Refusal) else described(error)
        decision = Decision("leave", f"Started unmodified: {reason}", "unset")
        who = container_identity.identify(invocation, {}, "")
        return text, ledger_file.record(invocation, who, decision, {}, "hook")


def confined(
    policy: "CompiledPolicy", kind: str, invocation: Invocation, text: bytes
) -> "tuple[bytes, Json]":
    """Decide as a create does, and inject the profile into the text. Raises Refusal."""
    outcome = main.consider(text, Call(invocation, kind, "", main.own_capabilities), policy)
    block = outcome.block
    if outcome.text is not None:
        block = as_written(block)
        text = outcome.text
    return text, ledger_file.record(invocation, outcome.who, outcome.decision, block, "hook")


def called(directory: str) -> Invocation:
    """Return the create that will follow for the container with this bundle."""
    parts = directory.split("/")
    name = parts[-2] if parts[-1] == _BUNDLE and len(parts) > 1 else ""
    return Invocation("create", {"bundle": directory, "root": ""}, name)


def _stdin() -> bytes:
    text = sys.stdin.buffer.read(config_file.LARGEST + 1)
    if len(text) > config_file.LARGEST:
        raise Refusal(f"the config is larger than {config_file.LARGEST} bytes.")
    return text


def refuse(message: str) -> None:
    """Write the reason to stderr and the system's log."""
    posix.write(2, f"{message}\n".encode("utf-8", "backslashreplace"))
    syslog.syslog(syslog.LOG_ERR, message)


def as_written(block: "Json") -> "Json":
    """Return a block as Podman writes it: through the runtime-spec's Go types, in their order.

    The ledger has the digest of this form, which is what the bundle will contain.
    """
    written = {key: block[key] for key in _BLOCK if _is_kept(block.get(key))}
    if "syscalls" in written:
        written["syscalls"] = [_rule(rule) for rule in written["syscalls"]]
    return written


def _rule(rule: "Json") -> "Json":
    written = {key: rule[key] for key in _RULE if _is_kept(rule.get(key)) or key in _ALWAYS}
    if "args" in written:
        written["args"] = [
            {key: arg[key] for key in _ARGUMENT if arg.get(key) or key in _ALWAYS}
            for arg in written["args"]
        ]
    return written


def _is_kept(value: object) -> bool:
    """Return whether Go writes the value; it omits nil pointers and empty `omitempty` fields."""
    return value is not None and value not in ("", [])


def _append(prefix: str, line: "Json") -> None:
    try:
        ledger_file.append(prefix, line)
    except Exception:  # noqa: BLE001 - a ledger error must not keep a container from starting
        return


def run(prefix: str, options: "list[str]") -> int:
    """Run the hook; return the exit status."""
    started = time.perf_counter()
    kind = options[1] if options[:1] == ["--runtime"] and len(options) > 1 else ""
    try:
        text, line = hook(prefix, kind, called(posix.getcwd()), _stdin())
    except Exception as error:  # noqa: BLE001 - report our own defect like any other failure
        ours = f"an error in runc-wrap itself: {described(error)}."
        refuse(f"runc-wrap: {error if isinstance(error, Refusal) else ours}")
        return 1
    line["seconds"] = round(time.perf_counter() - started, 6)
    _append(prefix, line)
    config_file.write_whole(1, text)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[2], sys.argv[3:]))
