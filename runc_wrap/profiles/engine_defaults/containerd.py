"""containerd's default profile, 1.6.0 and later.

Source: contrib/seccomp/seccomp_default.go, every release tag from v1.6.0 to v2.3.4, and main of
August 2026, which equals v2.3.4. It has no defaultErrnoRet: the runtime's default, EPERM, applies.
"""

from runc_wrap.host import engine_names
from runc_wrap.profiles.engine_defaults import dated_rules as dated
from runc_wrap.profiles.engine_defaults.dated_rules import DatedRule, allowed, calls, on
from runc_wrap.profiles.runtime_spec_names import ERRNO
from runc_wrap.profiles.source_profile import Condition

_ALG_BLOCKED = "1.7.32 2.0.9 2.2.4 2.3.1"
_HANDLES_FREE = "1.6.22 1.7.3"
_KERNEL_6_7_KNOWN = "1.6.28 1.7.13"

_BASE = DatedRule(
    calls(dated.CORE)
    + calls("socket", until="1.7.0")
    + calls(dated.IO_URING, until="2.0.0")
    + calls(dated.PKEY, since="1.6.16")
    + calls("name_to_handle_at", since=_HANDLES_FREE)
    + calls(dated.KERNEL_6_7, since=_KERNEL_6_7_KNOWN)
    + calls(dated.KERNEL_6_13, since="2.2.0")
    + calls(dated.LSM, since="2.2.0"),
)

_SOCKETS = (
    dated.socket(dated.AF_VSOCK, "SCMP_CMP_NE", since="1.7.0", until=_ALG_BLOCKED),
    *dated.sockets_without_alg_and_vsock(_ALG_BLOCKED),
)

_KERNEL = DatedRule(
    calls("ptrace", since="1.6.7") + calls("process_vm_readv process_vm_writev", since="1.7.0"),
    includes=Condition(min_kernel=(4, 8)),
)

_BY_ARCH = (
    DatedRule(calls("swapcontext sync_file_range2"), includes=on("ppc64le")),
    dated.ON_ARM,
    DatedRule(calls("arch_prctl modify_ldt"), includes=on("amd64")),
    DatedRule(calls("modify_ldt"), includes=on("x86")),
    dated.ON_S390,
    DatedRule(
        calls("riscv_flush_icache", since="1.6.7") + calls("riscv_hwprobe", since="2.2.0"),
        includes=on("riscv64"),
    ),
)

_BY_CAPABILITY = (
    allowed(calls("open_by_handle_at"), "CAP_DAC_READ_SEARCH"),
    allowed(dated.for_admins(_HANDLES_FREE), "CAP_SYS_ADMIN"),
    *dated.with_a_capability("1.6.7", "1.6.16", _KERNEL_6_7_KNOWN, "1.6.9"),
)

# By GOARCH, in Go's spelling, which containerd's cases for little-endian MIPS never match.
_ARCHITECTURES = (
    dated.Architectures("amd64", "X86_64 X86 X32"),
    dated.Architectures("arm64", "ARM AARCH64"),
    dated.Architectures("mips64", "MIPS MIPS64 MIPS64N32"),
    dated.Architectures("s390x", "S390 S390X"),
    dated.Architectures("riscv64", "RISCV64", since="1.6.7"),
    dated.Architectures("loong64", "LOONGARCH64", since="2.1.0"),
)

CONTAINERD = dated.DefaultByRelease(
    name=engine_names.CONTAINERD.profile,
    oldest="1.6.0",
    releases="1.6.39 1.7.34 2.0.11 2.1.9 2.2.7 2.3.4",
    default_action=ERRNO,
    default_errno_ret=None,
    architectures=_ARCHITECTURES,
    rules=(
        _BASE,
        *_SOCKETS,
        *dated.personalities(),
        _KERNEL,
        *_BY_ARCH,
        *_BY_CAPABILITY,
        *dated.clones_without_namespaces(),
        dated.clone3_unknown(),
    ),
)
