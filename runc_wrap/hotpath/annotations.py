"""What a container's and its pod's annotations ask for, and whether they count."""

from runc_wrap.hotpath import container_identity, policy_rule_match
from runc_wrap.hotpath.errors import Refusal, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.hotpath.compiled_policy import CompiledPolicy, OptOut
    from runc_wrap.hotpath.container_identity import Identity
    from runc_wrap.hotpath.create_facts import CreateFacts

OWN_KEY = "runc-wrap/seccomp"
OLD_POD_KEY = "seccomp.security.alpha.kubernetes.io/pod"
OLD_CONTAINER_KEY = "container.seccomp.security.alpha.kubernetes.io/"
PODMAN_KEY = "io.podman.annotations.seccomp"
CRUN_BPF_KEY = "run.oci.seccomp_bpf_data"

RUNTIME_DEFAULT = "runtime-default"
LOCALHOST = "localhost/"
UNCONFINED = "unconfined"
HONOUR = "honour"
_LATE = "the pod's annotations were different when its sandbox was made"
_NOT_HERE = "this container's annotations do not count"
_OLD_DEFAULTS = ("runtime/default", "docker/default")


class Wish:
    """The annotations' request: `key` decided, `asked` is its value in our words; both may be "".

    `ignored` is a key that does not count, `because` half a sentence on the reason, or "".
    """

    def __init__(
        self, key: str, asked: str, ignored: "str | None" = None, because: str = ""
    ) -> None:
        self.key = key
        self.asked = asked
        self.ignored = ignored
        self.because = because


def wish(facts: "CreateFacts", policy: "CompiledPolicy", *, counts: bool) -> Wish:
    """Return the request of those annotations that count.

    If the pod may have got them after its sandbox was made, the sandbox's count; one removed since
    requests nothing, so the policy applies.
    """
    who, annotations = facts.who, facts.annotations
    key = _deciding_key(annotations, who)
    if not key or not counts:
        return Wish("", "", key or None, _NOT_HERE if key else "")
    if not _may_be_late(who, policy):
        return Wish(key, _asked_for(key, annotations))
    try:
        before = facts.sandbox_annotations()
    except Refusal as refusal:
        because = f"whether the pod's sandbox was made with it is unknown, as {refusal}"
        return Wish("", "", key, because.rstrip("."))
    first = _deciding_key(before, who)
    asked = _asked_for(first, before) if first else ""
    if first == key and before[key] == annotations[key]:
        return Wish(key, asked)
    return Wish(first, asked, key, _LATE)


def _may_be_late(who: "Identity", policy: "CompiledPolicy") -> bool:
    """Return whether only the sandbox's annotations count; older policies lack the setting."""
    return who.sandbox is not None and policy["opt_out"].get("late") != HONOUR


def check_ready_made(facts: "CreateFacts", policy: "CompiledPolicy", *, counts: bool) -> None:
    """Raise Refusal if crun's annotation with a filter would void the policy's profile."""
    why, value = "", facts.annotations[CRUN_BPF_KEY]
    if not counts or policy["overlay"]:
        why = "this container's annotations do not count, or an overlay is in force."
    elif _may_be_late(facts.who, policy) and facts.sandbox_annotations().get(CRUN_BPF_KEY) != value:
        why = f"{_LATE}. Recreate the pod with it."
    if why:
        raise Refusal(
            f"the annotation {CRUN_BPF_KEY} would void the policy's profile, which is not allowed "
            f"here: {why}"
        )


def counts(who: "Identity", opt_out: "OptOut") -> bool:
    """Return whether this container's annotations count."""
    return (
        opt_out["annotations"]
        and policy_rule_match.matches_any(opt_out["namespaces"], who.namespace)
        and policy_rule_match.matches_any(opt_out["images"], who.image)
    )


def _asked_for(key: str, annotations: "dict[str, str]") -> str:
    """Return the annotation's request: UNCONFINED, RUNTIME_DEFAULT or LOCALHOST and a file."""
    value = annotations[key]
    asked = RUNTIME_DEFAULT if value in _OLD_DEFAULTS and not key.startswith(OWN_KEY) else value
    if asked not in (UNCONFINED, RUNTIME_DEFAULT) and not asked.startswith(LOCALHOST):
        raise Refusal(
            f"the annotation {quoted(key)} is {quoted(value)}; it can be {UNCONFINED}, "
            f"{RUNTIME_DEFAULT} or {LOCALHOST}<file>."
        )
    return asked


def _deciding_key(annotations: "dict[str, str]", who: "Identity") -> str:
    """Return the key that counts: the container's before the pod's, ours before the old ones."""
    name = who.container or container_identity.container_name(annotations)
    keys = [f"{OWN_KEY}.{name}", OWN_KEY, f"{OLD_CONTAINER_KEY}{name}", OLD_POD_KEY]
    if annotations.get(PODMAN_KEY) == UNCONFINED:  # a path there means that Podman applied it
        keys.append(PODMAN_KEY)
    return next((key for key in keys if key in annotations), "")
