"""Telling a privileged container from its config. Pure.

Podman, and CRI-O for a sandbox, say so in an annotation; but anybody could write it (a pod of
CRI-O's for its sandbox, too), so it stands only for how the container sees the machine, and only
where the container's annotations count. Every part of the signature alone also occurs without
privilege (containerd:internal/cri/server/container_create.go, moby:daemon/oci_linux.go).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runc_wrap.hotpath.caller import Identity

    Json = dict[str, Any]
    Capabilities = Callable[[], frozenset[str]]

# linux:include/uapi/linux/capability.h, by bit
_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES = tuple(f"CAP_{name}" for name in _NAMES.split())

_CRIO_SANDBOX = {
    "io.kubernetes.cri-o.PrivilegedRuntime": "true",
    "io.kubernetes.cri-o.ContainerType": "sandbox",
}
_SAYS_SO = {"crio": _CRIO_SANDBOX, "podman": {"io.podman.annotations.privileged": "TRUE"}}


def is_privileged(
    config: "Json", who: "Identity", annotations: "dict[str, str]", engine_has: "Capabilities"
) -> bool:
    """Tell whether the engine made this container privileged.

    `annotations` are those that count. `engine_has` returns the capabilities that the engine itself
    could give: a privileged container has all of those, which on some nodes is not all there are.
    """
    linux = config["linux"]
    if linux.get("maskedPaths") or linux.get("readonlyPaths"):
        return False
    given = bounding(config)
    if "CAP_SYS_ADMIN" not in given or not given >= engine_has():
        return False
    said = _SAYS_SO.get(who.engine)
    return bool(said and said.items() <= annotations.items()) or _has_a_privileged_view(config)


def bounding(config: "Json") -> "frozenset[str]":
    """Return process.capabilities.bounding; empty when the config gives none."""
    process = config.get("process")
    capabilities = process.get("capabilities") if isinstance(process, dict) else None
    given = capabilities.get("bounding") if isinstance(capabilities, dict) else None
    return frozenset(name for name in _list(given) if isinstance(name, str))


def _has_a_privileged_view(config: "Json") -> bool:
    """Tell by what engines do for privileged containers only: sysfs and cgroups are writable.

    A pod may bind something over /sys, which says nothing. Where both are covered, the device rules
    tell; alone they do not, as with privileged_without_host_devices there are none.
    """
    mounts = [mount for mount in _list(config.get("mounts")) if isinstance(mount, dict)]
    for kinds in (("sysfs",), ("cgroup", "cgroup2")):
        for mount in mounts:
            if mount.get("type") in kinds:
                return "ro" not in _list(mount.get("options"))
    return _all_devices(config["linux"])


def _all_devices(linux: "Json") -> bool:
    """Tell whether the last device rule that speaks of all devices allows them."""
    resources = linux.get("resources")
    rules = _list(resources.get("devices") if isinstance(resources, dict) else None)
    for rule in reversed(rules):
        if isinstance(rule, dict) and rule.get("type", "a") in ("a", "") and "major" not in rule:
            return rule.get("allow") is True
    return False


def _list(value: object) -> "list[Any]":
    return value if isinstance(value, list) else []
