"""The facts about one create that a decision needs, taken once from command line and config.

argv, config -> CreateFacts -> Decision
"""

from runc_wrap.hotpath import container_identity
from runc_wrap.hotpath.errors import Refusal, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runc_wrap.hotpath.argv import Invocation
    from runc_wrap.hotpath.container_identity import Identity

    Json = dict[str, Any]
    Annotations = dict[str, str]
    Capabilities = Callable[[], frozenset[str]]
    Sandboxes = Callable[[str, str], Annotations]  # the container's bundle, the sandbox's id


class Call:
    """One call of the runtime: its words, the runtime's `kind`, and its caller.

    `kind` is "runc", "crun" or a hook's word for both. `called_as` is the path that the engine
    called; `engine_has` returns the capabilities that the engine itself could grant.
    """

    def __init__(
        self, invocation: "Invocation", kind: str, called_as: str, engine_has: "Capabilities"
    ) -> None:
        self.invocation = invocation
        self.kind = kind
        self.called_as = called_as
        self.engine_has = engine_has


class CreateFacts:
    """A container that an engine asks the runtime to create.

    `who` is its identity, `annotations` are all of its annotations. `seccomp` is the config's
    block, {} for none; `has_linux` is False if the config has no linux section. `bounding` is its
    bounding set. `sees_all_paths`: no path is masked or read-only; `writes_machine`: sysfs and
    cgroups are writable, or all devices are allowed. `call` is the call that creates it.
    `engine_default` names the engine's default profile if the block is that, "" if it is not or if
    the policy does not ask. `sandboxes` finds a sandbox's annotations.
    """

    def __init__(self, config: "Json", call: Call, only: str, sandboxes: "Sandboxes") -> None:
        """Extract the facts. `only` is this node's one engine, "" for any. Raises Refusal."""
        linux = _object(config, "linux")
        self.call = call
        self._sandboxes = sandboxes
        self.annotations = annotations_of(config)
        self.who: Identity = container_identity.identify(
            call.invocation, self.annotations, call.called_as, only
        )
        self.has_linux = linux is not None
        self.seccomp = _object(linux or {}, "seccomp") or {}
        self.engine_default = ""
        self.bounding = bounding(config)
        self.sees_all_paths = not (
            linux and (linux.get("maskedPaths") or linux.get("readonlyPaths"))
        )
        self.writes_machine = _writes_machine(config, linux or {})

    def sandbox_annotations(self) -> "Annotations":
        """Return the annotations with which this container's sandbox was made. Raises Refusal."""
        return self._sandboxes(self.call.invocation.bundle, self.who.sandbox or "")


def annotations_of(config: "Json") -> "Annotations":
    """Return the annotations, {} for none. Raises Refusal unless they are strings."""
    annotations = _object(config, "annotations") or {}
    for key, value in annotations.items():
        if not isinstance(value, str):
            raise Refusal(f"the annotation {quoted(key)} in config.json is not a string.")
    return annotations


def seccomp_of(config: "Json") -> "Json":
    """Return the config's own linux.seccomp, {} for none. Raises Refusal if it is no object."""
    return _object(_object(config, "linux") or {}, "seccomp") or {}


def bounding(config: "Json") -> "frozenset[str]":
    """Return process.capabilities.bounding; empty when the config gives none."""
    process = config.get("process")
    capabilities = process.get("capabilities") if isinstance(process, dict) else None
    given = capabilities.get("bounding") if isinstance(capabilities, dict) else None
    return frozenset(name for name in _list(given) if isinstance(name, str))


def _writes_machine(config: "Json", linux: "Json") -> bool:
    """Return whether sysfs and cgroups are writable, as engines make them for privileged only.

    A pod may bind something over /sys, which proves nothing. If both are covered, the device rules
    decide; alone they do not suffice, as with privileged_without_host_devices there are none.
    """
    mounts = [mount for mount in _list(config.get("mounts")) if isinstance(mount, dict)]
    for kinds in (("sysfs",), ("cgroup", "cgroup2")):
        for mount in mounts:
            if mount.get("type") in kinds:
                return "ro" not in _list(mount.get("options"))
    return _all_devices(linux)


def _all_devices(linux: "Json") -> bool:
    """Return whether the last device rule for all devices allows them."""
    resources = linux.get("resources")
    rules = _list(resources.get("devices") if isinstance(resources, dict) else None)
    for rule in reversed(rules):
        if isinstance(rule, dict) and rule.get("type", "a") in ("a", "") and "major" not in rule:
            return rule.get("allow") is True
    return False


def _object(parent: "Json", name: str) -> "Json | None":
    found = parent.get(name)
    if found is not None and not isinstance(found, dict):
        raise Refusal(f"{quoted(name)} in config.json is not an object.")
    return found


def _list(value: object) -> "list[Any]":
    return value if isinstance(value, list) else []
