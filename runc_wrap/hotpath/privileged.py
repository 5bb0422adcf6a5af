"""Recognizes a privileged container by its config.

Podman, and CRI-O for a sandbox, state it in an annotation; but any user could write it (with CRI-O
also a pod for its sandbox). So it replaces only the test of the container's access to the machine,
and only if the container's annotations count. Every part of the signature alone also occurs without
privilege (containerd:internal/cri/server/container_create.go, moby:daemon/oci_linux.go).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runc_wrap.hotpath.create_facts import CreateFacts

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
_MARKS = {"crio": _CRIO_SANDBOX, "podman": {"io.podman.annotations.privileged": "TRUE"}}


def is_privileged(facts: "CreateFacts", counting: "dict[str, str]") -> bool:
    """Return whether the engine made this container privileged.

    `counting` are the annotations that count. A privileged container has all capabilities that the
    engine itself could grant, which on some nodes are not all that exist.
    """
    if not facts.sees_all_paths or "CAP_SYS_ADMIN" not in facts.bounding:
        return False
    if not facts.bounding >= facts.call.engine_has():
        return False
    marks = _MARKS.get(facts.who.engine)
    return bool(marks and marks.items() <= counting.items()) or facts.writes_machine
