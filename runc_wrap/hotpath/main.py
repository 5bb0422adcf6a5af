"""One create, from top to bottom.

    argv -> Invocation -> config -> Decision -> resolved profile -> new config -> exec

Only words with create, run or restore among them come here; all others the launcher passes on.
"""

import posix
import sys

from runc_wrap.hotpath import argv, bundle, codec, failure, names, policy, profile, splice
from runc_wrap.hotpath.decide import decide
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
    launch = Launch(sys.argv[1:])
    invocation = None
    try:
        invocation = argv.parse(launch.arguments, launch.kind)
        if invocation:
            confine_or_pass(launch, invocation)
        hand_over(launch)
    except Refusal as refusal:
        failure.report(str(refusal), invocation)
        posix._exit(1)  # noqa: SLF001 - os._exit by its own name


def confine_or_pass(launch: Launch, invocation: "Invocation") -> None:
    """Confine; where the owner chose on_error = "run-unmodified", a failure is only logged."""
    rules = policy.load(launch.prefix)
    try:
        confine(launch, invocation, rules)
    except Refusal as refusal:
        if rules["on_error"] != "run-unmodified":
            raise
        failure.report(f"started unmodified: {refusal}", invocation, level="warning")


def confine(launch: Launch, invocation: "Invocation", rules: "Json") -> None:
    """Put the profile that policy decides on into the container's config. Raises Refusal."""
    found = bundle.read(argv.config_path(invocation))
    config = parsed(found.text)
    decision = decide(config, invocation, rules, launch.kind, own_capabilities)
    if decision.profile is None:
        return
    compiled = policy.load_profile(launch.prefix, decision.profile)
    block = profile.resolve(compiled, bounding(config))
    bundle.replace(found, splice.with_seccomp(found.text, config, block))


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
