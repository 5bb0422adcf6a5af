"""Docker Engine's default profile, 23.0.0 and later.

Source: profiles/seccomp of moby/moby at every release tag from v23.0.0 to v28.1.1, afterwards
moby/profiles as vendored there, to docker-v29.7.2. defaultErrnoRet is EPERM, explicitly.
"""

import errno

from runc_wrap.host import engine_names
from runc_wrap.profiles.engine_defaults.dated_rules import (
    ADMIN,
    AF_VSOCK,
    ARCHITECTURES,
    CORE,
    IO_URING,
    KERNEL_6_7,
    KERNEL_6_13,
    LSM,
    MOUNTING,
    ON_ARM,
    ON_S390,
    ON_X86,
    PKEY,
    WITH_A_CAPABILITY,
    Architectures,
    DatedRule,
    DefaultByRelease,
    calls,
    clone3_unknown,
    clones_without_namespaces,
    on,
    personalities,
    socket,
    sockets_without_alg_and_vsock,
    with_caps,
)
from runc_wrap.profiles.runtime_spec_names import ERRNO
from runc_wrap.profiles.source_profile import Condition

_ALG_BLOCKED = "29.4.2"
_HANDLES_FREE = "23.0.7 24.0.3"
_KERNEL_6_7_KNOWN = "23.0.10 25.0.3"

_BASE = DatedRule(
    calls(" ".join(name for name in CORE.split() if name != "socketcall"))
    + calls("socketcall", until="29.4.2")
    + calls("socketcall", since="29.4.3")
    + calls(IO_URING, until="25.0.0")
    + calls(PKEY)
    + calls("name_to_handle_at", since=_HANDLES_FREE)
    + calls(KERNEL_6_7, since=_KERNEL_6_7_KNOWN)
    + calls(KERNEL_6_13, since="28.2.0")
    + calls("riscv_hwprobe", since="28.2.0"),
)

# Only 29.4.2 closed the bypass of the socket rules on 32-bit x86; that broke programs there.
_SOCKETCALL = DatedRule(
    calls("socketcall"), action=ERRNO, errno_ret=errno.ENOSYS, since="29.4.2", until="29.4.3"
)

_SOCKETS = (
    socket(AF_VSOCK, "SCMP_CMP_NE", since="", until=_ALG_BLOCKED),
    *sockets_without_alg_and_vsock(_ALG_BLOCKED),
)

_KERNEL = DatedRule(
    calls("process_vm_readv process_vm_writev ptrace"), includes=Condition(min_kernel=(4, 8))
)

_BY_ARCH = (
    DatedRule(calls("swapcontext sync_file_range2"), includes=on("ppc64le")),
    ON_ARM,
    *ON_X86,
    ON_S390,
    DatedRule(calls("riscv_flush_icache"), includes=on("riscv64")),
)

_BY_CAPABILITY = (
    DatedRule(calls("open_by_handle_at"), includes=with_caps("CAP_DAC_READ_SEARCH")),
    DatedRule(
        calls(MOUNTING)
        + calls("bpf clone clone3 fanotify_init lookup_dcookie perf_event_open quotactl")
        + calls("quotactl_fd setdomainname sethostname setns syslog unshare")
        + calls("name_to_handle_at", until=_HANDLES_FREE)
        + calls(LSM, since="28.2.0"),
        includes=ADMIN,
    ),
    *clones_without_namespaces(),
    clone3_unknown(),
    *WITH_A_CAPABILITY,
    DatedRule(
        calls("clock_settime clock_settime64 settimeofday stime"),
        includes=with_caps("CAP_SYS_TIME"),
    ),
    DatedRule(calls("vhangup"), includes=with_caps("CAP_SYS_TTY_CONFIG")),
    DatedRule(
        calls("get_mempolicy mbind set_mempolicy")
        + calls("set_mempolicy_home_node", since=_KERNEL_6_7_KNOWN),
        includes=with_caps("CAP_SYS_NICE"),
    ),
    DatedRule(calls("syslog"), includes=with_caps("CAP_SYSLOG")),
    DatedRule(calls("bpf"), includes=with_caps("CAP_BPF")),
    DatedRule(calls("perf_event_open"), includes=with_caps("CAP_PERFMON")),
)

_ARCHITECTURES = (
    *ARCHITECTURES,
    Architectures("riscv64", "RISCV64"),
    Architectures("loong64", "LOONGARCH64", since="29.4.2"),
)

MOBY = DefaultByRelease(
    name=engine_names.DOCKER.profile,
    oldest="23.0.0",
    releases="23.0.18 24.0.9 25.0.17 26.1.5 27.5.1 28.5.2 29.7.2",
    default_action=ERRNO,
    default_errno_ret=errno.EPERM,
    architectures=_ARCHITECTURES,
    rules=(
        _BASE,
        _KERNEL,
        _SOCKETCALL,
        *_SOCKETS,
        *personalities(),
        *_BY_ARCH,
        *_BY_CAPABILITY,
    ),
)
