"""The vocabulary of profiles, as runc, crun and libseccomp define it.

Sources: runc libcontainer/seccomp/config.go, crun src/libcrun/seccomp.c, runtime-spec
config-linux.md, capabilities(7). Data only.
"""

from runc_wrap.hotpath import privileged


def _prefixed(prefix: str, words: str) -> frozenset[str]:
    return frozenset(prefix + word for word in words.split())


ALLOW = "SCMP_ACT_ALLOW"
ERRNO = "SCMP_ACT_ERRNO"
LOG = "SCMP_ACT_LOG"
TRACE = "SCMP_ACT_TRACE"
NOTIFY = "SCMP_ACT_NOTIFY"
ACTIONS = _prefixed("SCMP_ACT_", "ALLOW ERRNO TRACE NOTIFY KILL KILL_PROCESS KILL_THREAD TRAP LOG")
PASSING = frozenset({ALLOW, LOG, NOTIFY, TRACE})  # something other than a denial may follow
ACTIONS_WITH_ERRNO = frozenset({ERRNO, TRACE})

OPERATORS = _prefixed("SCMP_CMP_", "NE LT LE EQ GE GT MASKED_EQ")

FLAGS = _prefixed("SECCOMP_FILTER_FLAG_", "TSYNC SPEC_ALLOW LOG WAIT_KILLABLE_RECV")

# GOARCH -> libseccomp's name, which moby and containers/common use in `arches`
_SAME = "amd64 arm arm64 mips mips64 ppc ppc64 ppc64le riscv64 s390 s390x"
NATIVE = {name: name for name in _SAME.split()} | {
    "386": "x86",
    "amd64p32": "x32",
    "loong64": "loongarch64",
    "mips64p32": "mips64n32",
    "mipsle": "mipsel",
    "mips64le": "mipsel64",
    "mips64p32le": "mipsel64n32",
}

# GOARCH -> the OCI runtime-spec's name
OCI = {goarch: "SCMP_ARCH_" + native.upper() for goarch, native in NATIVE.items()} | {
    "amd64": "SCMP_ARCH_X86_64",
    "arm64": "SCMP_ARCH_AARCH64",
}
GOARCH = {oci: goarch for goarch, oci in OCI.items()}

ARCHITECTURES = frozenset(OCI.values()) | _prefixed("SCMP_ARCH_", "PARISC PARISC64 M68K SH SHEB")
CONDITION_ARCHES = frozenset(NATIVE.values()) | {"mips3l64n32", "parisc", "parisc64"}

CAPABILITIES = frozenset(privileged.CAPABILITIES)
# what a container has unless asked: containerd:pkg/oci/spec.go defaultUnixCaps, since 1.0; Docker
USUAL = _prefixed(
    "CAP_",
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE",
)
