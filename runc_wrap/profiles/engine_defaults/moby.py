"""Docker Engine's default profile, 23.0.0 and later.

Source: profiles/seccomp of moby/moby at every release tag from v23.0.0 to v28.1.1, afterwards
moby/profiles as vendored there, to docker-v29.7.2. defaultErrnoRet is EPERM, explicitly.
"""

import errno

from runc_wrap.host import engine_names
from runc_wrap.profiles.engine_defaults.dated_rules import (
    AF_VSOCK,
    ARCHITECTURES,
    CORE,
    IO_URING,
    KERNEL_6_7,
    KERNEL_6_13,
    LSM,
    ON_ARM,
    ON_S390,
    ON_X86,
    PKEY,
    Architectures,
    DatedRule,
    DefaultByRelease,
    allowed,
    calls,
    clone3_unknown,
    clones_without_namespaces,
    for_admins,
    on,
    personalities,
    socket,
    sockets_without_alg_and_vsock,
    with_a_capability,
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
    calls("socketcall", since="29.4.2", until="29.4.3"), action=ERRNO, errno_ret=errno.ENOSYS
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
    allowed(calls("open_by_handle_at"), "CAP_DAC_READ_SEARCH"),
    allowed(for_admins(_HANDLES_FREE) + calls(LSM, since="28.2.0"), "CAP_SYS_ADMIN"),
    *clones_without_namespaces(),
    clone3_unknown(),
    *with_a_capability(home_node=_KERNEL_6_7_KNOWN),
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
    rules=(_BASE, _KERNEL, _SOCKETCALL, *_SOCKETS, *personalities(), *_BY_ARCH, *_BY_CAPABILITY),
)
