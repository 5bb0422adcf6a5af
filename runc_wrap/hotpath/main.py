"""One create, from top to bottom.

    argv -> Invocation -> config -> CreateFacts -> Decision -> block -> new config -> ledger -> exec

Only command lines with the word create, run or restore come here; the launcher passes on all
others.
"""

import posix
import sys
import time

from runc_wrap.hotpath import (
    argv,
    config_file,
    container_identity,
    errors,
    json_ambiguity,
    ledger_file,
    policy_file,
    resolve,
    splice,
)
from runc_wrap.hotpath.create_facts import Call, CreateFacts
from runc_wrap.hotpath.decision import (
    OBSERVE,
    READY_MADE,
    Decision,
    decide,
    restore,
    without_agent,
    without_recording,
)
from runc_wrap.hotpath.errors import Forbidden, Malformed, Refusal, described
from runc_wrap.hotpath.exec_runtime import Launch, hand_over
from runc_wrap.hotpath.privileged import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from runc_wrap.hotpath.argv import Invocation
    from runc_wrap.hotpath.compiled_policy import CompiledPolicy, CompiledProfile
    from runc_wrap.hotpath.container_identity import Identity

    Json = dict[str, Any]
    ProfileOf = Callable[[CompiledPolicy, str, str], CompiledProfile]  # name, mode; raises Refusal

CAPTURE = b"RUNC_WRAP_CAPTURE="  # what `runc-wrapctl profile capture` puts into process.env
_OUR_METADATA = "runc-wrap/"  # how the metadata of a listener of the agent's begins
INITIAL = [b"0", b"0", b"4294967295"]  # the first user namespace's uid_map: all users


def main() -> "NoReturn":
    """Confine the container, then become the real runtime; or report why not and exit 1."""
    if not sys.argv[1:]:
        posix._exit(0)  # noqa: SLF001 - the launcher only checks whether Python starts
    launch = Launch(sys.argv[1:])
    launch.take_back()
    invocation = None
    try:
        invocation = argv.parse(launch.arguments, launch.kind)
        if invocation:
            confine_or_pass(launch, invocation)
        hand_over(launch)
    except Refusal as refusal:
        errors.report(str(refusal), invocation)
    except Exception as error:  # noqa: BLE001 - our own faults must be reported like any failure
        errors.report(f"an error in runc-wrap itself: {described(error)}.", invocation)
    posix._exit(1)  # noqa: SLF001 - os._exit by its own name


def confine_or_pass(launch: Launch, invocation: "Invocation") -> None:
    """Confine; with on_error = "run-unmodified" in the policy, only record a failure."""
    started = time.perf_counter()
    policy = policy_file.load(launch.prefix)
    try:
        found = read_config(invocation)
        if CAPTURE in found.text:
            from runc_wrap.hotpath import captured_block  # noqa: PLC0415 - nearly no create is one

            captured_block.take(launch.prefix, found.text, found.text.index(CAPTURE) + len(CAPTURE))
        call = Call(invocation, launch.kind, launch.called_as, own_capabilities)
        outcome = consider(found.text, call, policy)
        if outcome.text is not None:
            config_file.replace(found, outcome.text)
        who, decision, block = outcome.who, outcome.decision, outcome.block
    except Malformed:
        return
    except Exception as error:
        if policy["on_error"] != "run-unmodified" or isinstance(error, Forbidden):
            raise
        reason = str(error) if isinstance(error, Refusal) else described(error)
        errors.report(f"started unmodified: {reason}", invocation, level="warning")
        who = container_identity.identify(invocation, {}, launch.called_as)
        decision, block = Decision("leave", f"Started unmodified: {reason}", "unset"), {}
    try:
        line = ledger_file.record(invocation, who, decision, block, "cold")
        line["root"] = line["root"] or default_root(launch.kind, posix.environ)
        line["pid"] = posix.getpid()  # the runtime's, too
        line["fallback"] = config_file.exists(f"{launch.prefix}/var/agent/decide.sock")
        line["seconds"] = round(time.perf_counter() - started, 6)
        ledger_file.append(launch.prefix, line)
    except Exception:  # noqa: BLE001 - a failing ledger must not stop a container
        return


class Outcome:
    """The outcome of a create: identity, decision and the final block, {} for none.

    `text` is the new config, None to leave it unchanged. `facts` are those that decided.
    """

    def __init__(
        self, facts: CreateFacts, decision: Decision, block: "Json", text: "bytes | None"
    ) -> None:
        self.facts = facts
        self.who: Identity = facts.who
        self.decision = decision
        self.block = block
        self.text = text


def consider(
    text: bytes,
    call: Call,
    policy: "CompiledPolicy",
    profile_of: "ProfileOf" = policy_file.load_profile,
) -> Outcome:
    """Decide on one create, for every caller: a cold start, the agent, a hook, or a report.

    `text` is the config's, `rules` the compiled policy, and `profile_of` finds its profiles.
    Changes nothing. Raises Refusal.
    """
    config = json_ambiguity.parsed(text)
    if call.kind == "crun":
        json_ambiguity.check_nul(text)
    facts = CreateFacts(config, call, policy["engine"], _sandbox_annotations)
    if facts.seccomp and "adoption" in policy:
        facts.engine_default = _engine_default(facts, policy, profile_of)
    decision = decide(facts, policy, time.time())
    block = _final_block(facts, policy, decision, profile_of)
    if decision.mode == OBSERVE or decision.recorded:
        if not block.get("listenerMetadata", "").startswith(_OUR_METADATA):
            without_recording(decision)
        elif not _has_agent(block):
            without_agent(decision)
            block = _final_block(facts, policy, decision, profile_of)
    if call.invocation.command == "restore":
        restore(decision, policy.get("restore"))
    edited = None
    if (block and block != facts.seccomp) or (decision.replaced and not block):
        edited = splice.with_seccomp(text, config, block or None)
    return Outcome(facts, decision, block, edited)


def _engine_default(facts: CreateFacts, policy: "CompiledPolicy", profile_of: "ProfileOf") -> str:
    """Return the calling engine's default profile if that is the config's block, else ""."""
    from runc_wrap.hotpath import block_equivalence  # noqa: PLC0415 - only if the policy adopts it

    for name in policy["adoption"]["profiles"].get(facts.who.engine, ()):
        compiled = profile_of(policy, name, block_equivalence.AS_APPLIED)
        if block_equivalence.is_same(facts.seccomp, resolve.resolve(compiled, facts.bounding)):
            return name
    return ""


def _sandbox_annotations(bundle_path: str, sandbox_id: str) -> "dict[str, str]":
    from runc_wrap.hotpath import sandbox_annotations  # noqa: PLC0415 - only if annotations decide

    return sandbox_annotations.annotations(bundle_path, sandbox_id)


def _has_agent(block: "Json") -> bool:
    """Return whether an agent listens at the socket to which this block refers."""
    from runc_wrap.hotpath import agent_probe  # noqa: PLC0415 - expensive, and rarely needed

    return agent_probe.has_agent(block.get("listenerPath", ""))


def default_root(kind: str, environment: "Mapping[bytes, bytes]", process: str = "self") -> str:
    """Return a runtime's default state directory; `process` is to become the runtime.

    crun uses XDG_RUNTIME_DIR of any user (crun:src/libcrun/status.c, get_run_directory), runc of
    root only in a user namespace with USER other than root (runc:main.go, rootless_linux.go).
    Raises Refusal if the process has ended.
    """
    own = environment.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
    is_taken = own and (kind == "crun" or posix.geteuid() != 0 or _is_as_user(environment, process))
    return f"{own}/{kind}" if is_taken else f"/run/{kind}"


def _is_as_user(environment: "Mapping[bytes, bytes]", process: str) -> bool:
    """Return whether runc treats uid 0 as a user: rootless Podman runs it in a user namespace."""
    mapped = config_file.read(f"/proc/{process}/uid_map").text.split()
    return mapped[:3] != INITIAL and environment.get(b"USER") != b"root"


def read_config(invocation: "Invocation") -> config_file.Found:
    """Read the config that the runtime will read. Raises Refusal, and Malformed for a guess."""
    try:
        return config_file.read(argv.config_path(invocation))
    except Refusal:
        if invocation.is_guess:
            raise Malformed from None
        raise


def _final_block(
    facts: CreateFacts, policy: "CompiledPolicy", decision: Decision, profile_of: "ProfileOf"
) -> "Json":
    """Return the linux.seccomp that the container will have, {} for none. Raises Refusal."""
    if decision.action == "inject" and decision.profile and decision.mode:
        compiled = profile_of(policy, decision.profile, decision.form)
        return resolve.resolve(compiled, facts.bounding)
    if decision.action != "keep" or decision.declared == READY_MADE:
        return {}
    denials = policy["overlay"]
    if facts.seccomp and denials and denials["existing"]:
        from runc_wrap.hotpath import overlay  # noqa: PLC0415 - rarely needed, and it takes time

        return overlay.with_overlay(facts.seccomp, denials)
    return facts.seccomp


def own_capabilities() -> "frozenset[str]":
    """Return our bounding set, which is what the engine that called us can grant."""
    return capabilities_of("self")


def capabilities_of(process: str) -> "frozenset[str]":
    """Return the bounding set of a process, by its name in /proc. Raises Refusal if it ended."""
    status = config_file.read(f"/proc/{process}/status").text
    mask = int(status.partition(b"\nCapBnd:")[2].split(None, 1)[0], 16)
    return frozenset(name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1)
