"""The decision for one container: a pure function of its config, who calls, and the policy."""

from runc_wrap.hotpath import caller
from runc_wrap.hotpath.failure import Refusal, quoted
from runc_wrap.hotpath.privileged import is_privileged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runc_wrap.hotpath.argv import Invocation

    Json = dict[str, Any]

OWN_KEY = "runc-wrap/seccomp"
OLD_POD_KEY = "seccomp.security.alpha.kubernetes.io/pod"
OLD_CONTAINER_KEY = "container.seccomp.security.alpha.kubernetes.io/"
PODMAN_KEY = "io.podman.annotations.seccomp"
CRUN_BPF_KEY = "run.oci.seccomp_bpf_data"

RUNTIME_DEFAULT = "runtime-default"
LOCALHOST = "localhost/"
UNCONFINED = "unconfined"
_OLD_DEFAULTS = ("runtime/default", "docker/default")


class Decision:
    """What policy says for one container.

    `action` is "inject", "keep" or "leave"; `mode` and `profile` are None unless it is "inject";
    `rule` names the policy rule that decided, None for the default; `reason` is one sentence.
    """

    __slots__ = ("action", "mode", "profile", "reason", "rule")

    def __init__(
        self, action: str, reason: str, profile: "str | None" = None, rule: "str | None" = None
    ) -> None:
        self.action = action
        self.mode = "enforce" if action == "inject" else None
        self.profile = profile
        self.rule = rule
        self.reason = reason


def decide(
    config: "Json",
    invocation: "Invocation",
    policy: "Json",
    kind: str,
    engine_has: "Callable[[], frozenset[str]]",
) -> Decision:
    """Return the decision for a config whose names have been checked. Raises Refusal.

    `policy` is the compiled policy, `kind` the runtime's ("runc" or "crun"), `engine_has` as
    `privileged.is_privileged` wants it.
    """
    linux = _object(config, "linux")
    if linux is None:
        return Decision("leave", "The config has no linux section.")
    annotations = checked_annotations(config)
    if not _is_empty(_object(linux, "seccomp")):
        return Decision("keep", "The config brings a seccomp profile of its own.")
    if kind == "crun" and CRUN_BPF_KEY in annotations:
        return Decision("keep", f"The annotation {CRUN_BPF_KEY} gives crun a ready-made filter.")
    if is_privileged(config, annotations, engine_has):
        return Decision("leave", "The container is privileged.")
    return _asked_for(annotations, invocation, policy) or _default(annotations, invocation, policy)


def _asked_for(
    annotations: "dict[str, str]", invocation: "Invocation", policy: "Json"
) -> "Decision | None":
    key = _deciding_key(annotations)
    if not key:
        return None
    value = annotations[key]
    wanted = RUNTIME_DEFAULT if value in _OLD_DEFAULTS and key != OWN_KEY else value
    if wanted == UNCONFINED:
        return Decision("leave", f"The annotation {quoted(key)} opts out.")
    if wanted == RUNTIME_DEFAULT:
        profile = _of_engine(annotations, invocation, policy)
    elif wanted.startswith(LOCALHOST):
        profile = wanted
    else:
        raise Refusal(
            f"the annotation {quoted(key)} is {quoted(value)}; it can be {UNCONFINED}, "
            f"{RUNTIME_DEFAULT} or {LOCALHOST}<file>."
        )
    return Decision("inject", f"The annotation {quoted(key)} asks for it.", profile)


def _deciding_key(annotations: "dict[str, str]") -> str:
    """Return the key that counts: the container's before the pod's, ours before the old ones."""
    name = caller.container_name(annotations)
    keys = [f"{OWN_KEY}.{name}", OWN_KEY, f"{OLD_CONTAINER_KEY}{name}", OLD_POD_KEY]
    if annotations.get(PODMAN_KEY) == UNCONFINED:  # a path there means that Podman applied it
        keys.append(PODMAN_KEY)
    return next((key for key in keys if key in annotations), "")


def _default(annotations: "dict[str, str]", invocation: "Invocation", policy: "Json") -> Decision:
    profile = policy["default"]["profile"]
    if profile == RUNTIME_DEFAULT:
        profile = _of_engine(annotations, invocation, policy)
    return Decision("inject", "The config has no seccomp profile and nobody opted out.", profile)


def _of_engine(annotations: "dict[str, str]", invocation: "Invocation", policy: "Json") -> str:
    """Return the name of the profile that the calling engine would apply itself."""
    profile: str = policy["runtime_default"][caller.engine(invocation, annotations)]
    return profile


def _is_empty(seccomp: "Json | None") -> bool:
    """runc takes a block with neither a default action nor rules for none at all (specconv)."""
    return not seccomp or not (seccomp.get("defaultAction") or seccomp.get("syscalls"))


def checked_annotations(config: "Json") -> "dict[str, str]":
    """Return the annotations, {} for none. Raises Refusal unless they are strings."""
    annotations = _object(config, "annotations") or {}
    for key, value in annotations.items():
        if not isinstance(value, str):
            raise Refusal(f"the annotation {quoted(key)} in config.json is not a string.")
    return annotations


def _object(parent: "Json", name: str) -> "Json | None":
    found = parent.get(name)
    if found is not None and not isinstance(found, dict):
        raise Refusal(f"{quoted(name)} in config.json is not an object.")
    return found
