"""One create, from top to bottom.

    argv -> Invocation -> config -> Decision -> resolved profile -> new config -> ledger -> exec

Only words with create, run or restore among them come here; all others the launcher passes on.
"""

import posix
import sys
import time

from runc_wrap.hotpath import (
    argv,
    bundle,
    caller,
    codec,
    failure,
    ledger,
    names,
    overlay,
    policy,
    profile,
    splice,
)
from runc_wrap.hotpath.decide import Decision, Node, checked_annotations, decide
from runc_wrap.hotpath.failure import Refusal
from runc_wrap.hotpath.handover import Launch, hand_over
from runc_wrap.hotpath.privileged import CAPABILITIES, bounding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from runc_wrap.hotpath.argv import Invocation

    Json = dict[str, Any]


def main() -> "NoReturn":
    """Confine what is to be created, then become the real runtime; or say why not and exit 1."""
    started = time.perf_counter()
    launch = Launch(sys.argv[1:])
    invocation = None
    try:
        invocation = argv.parse(launch.arguments, launch.kind)
        if invocation:
            line = confine_or_pass(launch, invocation)
            line["seconds"] = round(time.perf_counter() - started, 6)
            ledger.append(launch.prefix, line)
        hand_over(launch)
    except Refusal as refusal:
        failure.report(str(refusal), invocation)
        posix._exit(1)  # noqa: SLF001 - os._exit by its own name


def confine_or_pass(launch: Launch, invocation: "Invocation") -> "Json":
    """Confine; where the owner chose on_error = "run-unmodified", a failure is only recorded.

    Returns the ledger's line.
    """
    compiled = policy.load(launch.prefix)
    try:
        return confine(launch, invocation, compiled)
    except Refusal as refusal:
        if compiled["on_error"] != "run-unmodified":
            raise
        failure.report(f"started unmodified: {refusal}", invocation, level="warning")
        decision = Decision("leave", f"Started unmodified: {refusal}", "unset")
        who = caller.identify(invocation, {}, launch.called_as)
        return ledger.record(invocation, who, decision, None)


def confine(launch: Launch, invocation: "Invocation", compiled: "Json") -> "Json":
    """Put the profile that policy decides on into the config; return the ledger's line.

    Raises Refusal.
    """
    found = bundle.read(argv.config_path(invocation))
    config = parsed(found.text)
    who = caller.identify(invocation, checked_annotations(config), launch.called_as)
    node = Node(launch.kind, own_capabilities, time.time())
    decision = decide(config, who, compiled, node)
    block = final_block(launch.prefix, config, decision, compiled["overlay"])
    if block and block != existing_block(config):
        bundle.replace(found, splice.with_seccomp(found.text, config, block))
    return ledger.record(invocation, who, decision, block)


def final_block(prefix: str, config: "Json", decision: Decision, denials: "Json | None") -> "Json":
    """Return the linux.seccomp that the container will have, {} for none. Raises Refusal.

    `denials` is the policy's overlay; in a compiled profile it is already contained.
    """
    if decision.action == "inject" and decision.profile and decision.mode:
        compiled = policy.load_profile(prefix, decision.profile, decision.mode)
        return profile.resolve(compiled, bounding(config))
    existing = existing_block(config)
    if decision.action == "keep" and existing and denials and denials["existing"]:
        return overlay.with_overlay(existing, denials)
    return existing if decision.action == "keep" else {}


def existing_block(config: "Json") -> "Json":
    """Return the config's own linux.seccomp, {} for none."""
    linux = config.get("linux")
    found = linux.get("seccomp") if isinstance(linux, dict) else None
    return found if isinstance(found, dict) else {}


def parsed(text: bytes) -> "Json":
    """Return the config as a plain dict that every runtime reads alike. Raises Refusal."""
    try:
        config = codec.loads(text)
    except codec.Unreadable as error:
        raise Refusal(f"config.json is not valid JSON: {error}.") from None
    if not isinstance(config, dict):
        raise Refusal("config.json is not a JSON object.")
    names.check_case(config)
    names.check_twice(text, codec.dumps(config))
    return config


def own_capabilities() -> "frozenset[str]":
    """Return our bounding set, which is what the engine that called us can give."""
    status = bundle.read("/proc/self/status").text
    mask = int(status.partition(b"\nCapBnd:")[2].split(None, 1)[0], 16)
    return frozenset(name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1)
