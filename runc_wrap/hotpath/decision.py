"""The decision for one create, from its facts, the compiled policy and the time only."""

from runc_wrap.hotpath import annotations, policy_rule_match
from runc_wrap.hotpath.annotations import CRUN_BPF_KEY, RUNTIME_DEFAULT, UNCONFINED
from runc_wrap.hotpath.errors import Forbidden, quoted
from runc_wrap.hotpath.privileged import is_privileged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runc_wrap.hotpath.annotations import Wish
    from runc_wrap.hotpath.compiled_policy import CompiledPolicy, PolicyRule
    from runc_wrap.hotpath.create_facts import CreateFacts

    Json = dict[str, Any]

OWN_PROFILE = "own profile"
ENGINE_DEFAULT = "engine's default"
READY_MADE = "ready-made filter"
ENFORCE, ENFORCE_LOG, AUDIT, OBSERVE, OFF = "enforce", "enforce-log", "audit", "observe", "off"
MODES = ENFORCE, ENFORCE_LOG, AUDIT, OBSERVE, OFF
# What a policy takes over: nothing; the engine's default, unless more would be let through; always.
ADOPT_NONE, ADOPT, ADOPT_WEAKER = "none", RUNTIME_DEFAULT, f"{RUNTIME_DEFAULT}, also weaker"
AS_DUMPED = "as-dumped"
AS_STRICT = (ENFORCE, ENFORCE_LOG)  # modes that let through nothing that their profile denies
RECORD = "+record"  # after the mode in the name of a compiled profile that also records
RECORDING = (ENFORCE, OBSERVE)  # modes in which allowed calls can be recorded
_RESTORED = "it was restored from a checkpoint, with the filters that its processes had then"
_PRIVILEGED = "The container is privileged."


class Decision:
    """The policy's decision on one container.

    `action` is "inject", "keep" or "leave"; `mode` and `profile` are None unless it is "inject";
    `rule` names the policy's rule that decided, None for the default; `reason` is one sentence;
    `declared` is what the container asked for; `ignored` is an annotation that did not count.
    `candidate` is looked at beside the profile, which is enforced then, whatever the mode.
    `replaced` names the engine's default profile that the config brought, if it was taken over.
    `restored`: the container's processes come from a checkpoint, with the filters of then.
    `recorded`: the agent is also asked about calls that the profile allows.
    """

    def __init__(self, action: str, reason: str, declared: str) -> None:
        self.action = action
        self.reason = reason
        self.declared = declared
        self.mode: str | None = None
        self.profile: str | None = None
        self.candidate: str | None = None
        self.candidate_digest: str | None = None
        self.rule: str | None = None
        self.ignored: str | None = None
        self.replaced: str | None = None
        self.restored = False
        self.recorded = False

    @property
    def form(self) -> str:
        """The name of the compiled profile's form."""
        return form_of(self.mode, self.candidate_digest, recorded=self.recorded)


def decide(facts: "CreateFacts", policy: "CompiledPolicy", now: float) -> Decision:
    """Return the decision for one create; `now` is in seconds since the epoch. Raises Refusal.

    `policy` is the compiled policy. The sandbox's annotations are read only if the container's
    would decide and its pod may have got them later.
    """
    if not facts.has_linux:
        return Decision("leave", "The config has no linux section.", "unset")
    counts = annotations.counts(facts.who, policy["opt_out"])
    if facts.call.kind == "crun" and CRUN_BPF_KEY in facts.annotations:
        annotations.check_ready_made(facts, policy, counts=counts)
        reason = f"The annotation {CRUN_BPF_KEY} gives crun a ready-made filter."  # crun prefers it
        return Decision("keep", reason, READY_MADE)
    if _is_empty(facts.seccomp):
        return _for_none(facts, policy, now, counts=counts)
    if facts.engine_default:
        return _for_engine_default(facts, policy, now, counts=counts)
    return Decision("keep", "The config brings a seccomp profile of its own.", OWN_PROFILE)


def without_recording(decision: Decision) -> None:
    """Record nothing: the profile's own listener is asked, or a candidate denies nothing more."""
    if decision.recorded:
        decision.recorded = False
        decision.reason += " The profile has a listener of its own, so nothing is recorded."


def without_agent(decision: Decision) -> None:
    """Record nothing, and audit instead of observe, or log what a candidate would deny.

    Without an agent the runtime would fail.
    """
    mode = ENFORCE if decision.candidate else AUDIT
    is_observed = decision.mode == OBSERVE
    then = f"the mode is {mode} instead of observe" if is_observed else "nothing is recorded"
    decision.reason += f" No agent listens, so {then}."
    decision.recorded = False
    decision.mode = mode if is_observed else decision.mode


def restore(decision: Decision, setting: "str | None") -> None:
    """Change a decision to what is true of a restore. Raises Forbidden.

    CRIU gives each process the filters that it was dumped with, whatever the config says: what
    would be enforced is not. `setting` is the policy's `restore`; older policies lack it.
    """
    if enforces(decision):
        if setting != AS_DUMPED:
            raise Forbidden(
                "a container restored from a checkpoint has the filters that it was dumped with, "
                f"which may be none, and {quoted(decision.profile)} must be enforced. Create it "
                'anew, or set restore = "as-dumped" in config.toml and run `runc-wrapctl apply`.'
            )
        decision.mode, decision.recorded = None, False
        decision.candidate = decision.candidate_digest = None
    decision.restored = True
    if decision.action != "leave":
        decision.reason = f"{decision.reason.rstrip('.')}; {_RESTORED}."


def _for_none(
    facts: "CreateFacts", policy: "CompiledPolicy", now: float, *, counts: bool
) -> Decision:
    """Decide for a config without a profile of its own."""
    privileged = is_privileged(facts, facts.annotations if counts else {})
    if privileged and policy["privileged"] == "leave":
        return Decision("leave", _PRIVILEGED, "privileged")
    wish = annotations.wish(facts, policy, counts=counts)
    rule = policy_rule_match.first(policy["rules"], facts.who, now)
    return _by_policy(wish, rule, facts, policy, privileged=privileged)


def _for_engine_default(
    facts: "CreateFacts", policy: "CompiledPolicy", now: float, *, counts: bool
) -> Decision:
    """Decide for a config that brings its engine's default profile: as for none, if adopted.

    Otherwise it is kept, also if the decision is to leave a privileged container as it is.
    """
    name = facts.engine_default
    rule = policy_rule_match.first(policy["rules"], facts.who, now)
    adopt = policy["default"].get("adopt", ADOPT_NONE)
    if rule:
        adopt = rule.get("adopt", adopt)
    kept = Decision("keep", f"The config brings the engine's default, {name}", ENGINE_DEFAULT)
    kept.rule = rule["name"] if rule else None
    if adopt == ADOPT_NONE:
        kept.reason += ", which the policy does not take over."
        return kept
    decision = _for_none(facts, policy, now, counts=counts)
    as_strict = policy["adoption"]["within"].get(name, ())  # profiles that let through no more
    kept.ignored = decision.ignored
    reason = decision.reason.rstrip(".")
    if decision.reason == _PRIVILEGED:
        kept.reason += "; the container is privileged."
    elif adopt == ADOPT_WEAKER or (enforces(decision) and decision.profile in as_strict):
        decision.declared, decision.replaced = ENGINE_DEFAULT, name
        decision.reason = f"{reason}; it replaces the engine's default, {name}."
        return decision
    else:
        kept.reason += f", which lets less through than what was asked for ({reason})."
    return kept


def enforces(decision: Decision) -> bool:
    """Return whether a decision lets through nothing that its profile denies."""
    return decision.mode in AS_STRICT or bool(decision.candidate)


def form_of(mode: "str | None", candidate_digest: "str | None", *, recorded: bool = False) -> str:
    """Return in which form a profile is compiled: the mode, what is beside it, if it records."""
    if candidate_digest:
        return f"{mode}+{candidate_digest[:12]}"
    return f"{mode}{RECORD}" if recorded else str(mode)


def _by_policy(
    wish: "Wish",
    rule: "PolicyRule | None",
    facts: "CreateFacts",
    policy: "CompiledPolicy",
    *,
    privileged: bool,
) -> Decision:
    default = policy["default"]
    mode = rule.get("mode", default["mode"]) if rule else default["mode"]
    profile = rule.get("profile", default["profile"]) if rule else default["profile"]
    declared = "privileged" if privileged else wish.asked or "unset"
    if wish.asked == UNCONFINED:
        decision = Decision("leave", f"The annotation {quoted(wish.key)} opts out.", declared)
    elif mode == OFF:
        decision = Decision("leave", f"{_source(rule)} turns it off.", declared)
    else:
        reason = _reason(wish.key, rule, facts, privileged=privileged)
        decision = Decision("inject", reason, declared)
        decision.mode = policy["privileged"] if privileged else mode
        if decision.mode == "confine":
            decision.mode = mode
        engine = facts.who.engine
        decision.profile = profile_of(wish.asked or profile, engine, policy)
        records = default.get("record", False)
        records = rule.get("record", records) if rule else records
        decision.recorded = records and decision.mode in RECORDING
        candidate = (rule or default).get("candidate")
        is_own = decision.mode == mode and decision.profile == profile_of(profile, engine, policy)
        if candidate and is_own and not records:
            decision.candidate = profile_of(candidate, engine, policy)
            decision.candidate_digest = policy["candidates"][decision.candidate]
        elif candidate and decision.mode == OBSERVE:  # with a candidate it means enforced
            decision.mode = ENFORCE
    decision.rule = rule["name"] if rule else None
    decision.ignored = wish.ignored
    if wish.because:
        ignored = f"the annotation {quoted(wish.ignored)} is ignored: {wish.because}"
        decision.reason = f"{decision.reason.rstrip('.')}; {ignored}."
    return decision


def _reason(key: str, rule: "PolicyRule | None", facts: "CreateFacts", *, privileged: bool) -> str:
    if privileged:
        return "The container is privileged, and the policy does not exempt those."
    if key:
        return f"The annotation {quoted(key)} asks for it."
    if rule or facts.engine_default:
        return f"{_source(rule)} applies."
    return "The config has no seccomp profile and nobody opted out."


def _source(rule: "PolicyRule | None") -> str:
    return f"The rule {quoted(rule['name'])}" if rule else "The policy's default"


def profile_of(name: str, engine: str, policy: "CompiledPolicy") -> str:
    """Return the profile's own name: runtime-default is the one that the engine itself applies."""
    composed = policy.get("composed", {})
    on = policy["runtime_default"] if name == RUNTIME_DEFAULT else composed.get(name)
    return on[engine] if on else name


def _is_empty(seccomp: "Json") -> bool:
    """Runc treats a block with neither a default action nor rules as no block (specconv)."""
    return not seccomp or not (seccomp.get("defaultAction") or seccomp.get("syscalls"))
