"""Docker Engine's default profile, 23.0.0 and later.

Source: profiles/seccomp of moby/moby at every release tag from v23.0.0 to v28.1.1, afterwards
moby/profiles as vendored there, to docker-v29.7.2. defaultErrnoRet is EPERM, explicitly.
"""

import errno

from runc_wrap.host import engine_names
from runc_wrap.profiles.engine_defaults import dated_rules as dated
from runc_wrap.profiles.engine_defaults.dated_rules import DatedRule, allowed, calls, personalities
from runc_wrap.profiles.runtime_spec_names import ERRNO
from runc_wrap.profiles.source_profile import Condition

_ALG_BLOCKED = "29.4.2"
_HANDLES_FREE = "23.0.7 24.0.3"
_KERNEL_6_7_KNOWN = "23.0.10 25.0.3"

_BASE = DatedRule(
    calls(" ".join(name for name in dated.CORE.split() if name != "socketcall"))
    + calls("socketcall", until="29.4.2")
    + calls("socketcall", since="29.4.3")
    + calls(dated.IO_URING, until="25.0.0")
    + calls(dated.PKEY)
    + calls("name_to_handle_at", since=_HANDLES_FREE)
    + calls(dated.KERNEL_6_7, since=_KERNEL_6_7_KNOWN)
    + calls(dated.KERNEL_6_13, since="28.2.0")
    + calls("riscv_hwprobe", since="28.2.0"),
)

# Only 29.4.2 closed the bypass of the socket rules on 32-bit x86; that broke programs there.
_SOCKETCALL = DatedRule(
    calls("socketcall", since="29.4.2", until="29.4.3"), action=ERRNO, errno_ret=errno.ENOSYS
)

_SOCKETS = (
    dated.socket(dated.AF_VSOCK, "SCMP_CMP_NE", since="", until=_ALG_BLOCKED),
    *dated.sockets_without_alg_and_vsock(_ALG_BLOCKED),
)

_KERNEL = DatedRule(
    calls("process_vm_readv process_vm_writev ptrace"), includes=Condition(min_kernel=(4, 8))
)

_BY_ARCH = (
    DatedRule(calls("swapcontext sync_file_range2"), includes=dated.on("ppc64le")),
    dated.ON_ARM,
    *dated.ON_X86,
    dated.ON_S390,
    DatedRule(calls("riscv_flush_icache"), includes=dated.on("riscv64")),
)

_BY_CAPABILITY = (
    allowed(calls("open_by_handle_at"), "CAP_DAC_READ_SEARCH"),
    allowed(dated.for_admins(_HANDLES_FREE) + calls(dated.LSM, since="28.2.0"), "CAP_SYS_ADMIN"),
    *dated.clones_without_namespaces(),
    dated.clone3_unknown(),
    *dated.with_a_capability(home_node=_KERNEL_6_7_KNOWN),
)

_ARCHITECTURES = (
    *dated.ARCHITECTURES,
    dated.Architectures("riscv64", "RISCV64"),
    dated.Architectures("loong64", "LOONGARCH64", since="29.4.2"),
)

MOBY = dated.DefaultByRelease(
    name=engine_names.DOCKER.profile,
    oldest="23.0.0",
    releases="23.0.18 24.0.9 25.0.17 26.1.5 27.5.1 28.5.2 29.7.2",
    default_action=ERRNO,
    default_errno_ret=errno.EPERM,
    architectures=_ARCHITECTURES,
    rules=(_BASE, _KERNEL, _SOCKETCALL, *_SOCKETS, *personalities(), *_BY_ARCH, *_BY_CAPABILITY),
)
