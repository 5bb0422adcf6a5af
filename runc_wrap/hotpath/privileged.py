"""Telling a privileged container from its config. Pure.

CRI-O and Podman say so in an annotation. containerd and Docker write nothing: there the whole
signature counts (containerd:internal/cri/server/container_create.go, moby:daemon/oci_linux.go),
since every part of it alone also occurs without privilege.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]

# linux:include/uapi/linux/capability.h, by bit
_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES = tuple(f"CAP_{name}" for name in _NAMES.split())

_SAYS_SO = {
    "io.kubernetes.cri-o.PrivilegedRuntime": "true",  # on a sandbox
    "io.podman.annotations.privileged": "TRUE",
}


def is_privileged(
    config: "Json", annotations: "dict[str, str]", engine_has: "Callable[[], frozenset[str]]"
) -> bool:
    """Tell whether the engine made this container privileged.

    `engine_has` returns the capabilities that the engine itself could give: a privileged container
    has all of those, which on some nodes is not all there are. Devices do not count: with
    privileged_without_host_devices a privileged container has none.
    """
    if any(annotations.get(key) == value for key, value in _SAYS_SO.items()):
        return True
    linux = config["linux"]
    if linux.get("maskedPaths") or linux.get("readonlyPaths") or not _has_writable_sys(config):
        return False
    given = bounding(config)
    return "CAP_SYS_ADMIN" in given and given >= engine_has()


def bounding(config: "Json") -> "frozenset[str]":
    """Return process.capabilities.bounding; empty when the config gives none."""
    process = config.get("process")
    capabilities = process.get("capabilities") if isinstance(process, dict) else None
    given = capabilities.get("bounding") if isinstance(capabilities, dict) else None
    names = given if isinstance(given, list) else ()
    return frozenset(name for name in names if isinstance(name, str))


def _has_writable_sys(config: "Json") -> bool:
    """Tell whether /sys is mounted, and not read-only: only a privileged container has that."""
    mounts = config.get("mounts")
    at_sys = [
        mount.get("options") or ()
        for mount in (mounts if isinstance(mounts, list) else ())
        if isinstance(mount, dict) and mount.get("destination") == "/sys"
    ]
    return bool(at_sys) and "ro" not in at_sys[-1]
