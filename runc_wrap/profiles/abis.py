"""The ABIs that libseccomp filters for, as data, and which of them one machine's kernel can run.

A system call number has a meaning only within an ABI. `token` is libseccomp's (include/seccomp.h);
`audit` is AUDIT_ARCH_* of linux/audit.h, which the kernel puts into struct seccomp_data. They
differ only for x32, which is x86_64 with bit 30 of the number set. `bits` is how many bits of an
argument libseccomp compares (src/arch-*.c, .size): x32 and the n32 ABIs count as 32.
`name` is the OCI runtime-spec's without SCMP_ARCH_, in lower case, as libseccomp writes it.
"""

from dataclasses import dataclass

from runc_wrap.profiles.source_profile import ProfileError

X32_BIT = 1 << 30
_OCI_PREFIX = "SCMP_ARCH_"


@dataclass(frozen=True, slots=True, eq=False)
class Abi:
    """One ABI, the only object of it; `little` is True if its byte order is little-endian."""

    name: str
    token: int
    audit: int
    bits: int
    little: bool = True

    @property
    def oci(self) -> str:
        """Return the OCI runtime-spec's name, as `architectures` lists it."""
        return _OCI_PREFIX + self.name.upper()


def _abi(name: str, token: int, bits: int, *, little: bool = True) -> Abi:
    return Abi(name, token, token, bits, little)


_ALL = (
    _abi("x86_64", 0xC000003E, 64),
    _abi("x86", 0x40000003, 32),
    Abi("x32", 0x4000003E, 0xC000003E, 32),
    _abi("aarch64", 0xC00000B7, 64),
    _abi("arm", 0x40000028, 32),
    _abi("loongarch64", 0xC0000102, 64),
    _abi("riscv64", 0xC00000F3, 64),
    _abi("ppc64le", 0xC0000015, 64),
    _abi("ppc64", 0x80000015, 64, little=False),
    _abi("ppc", 0x14, 32, little=False),
    _abi("s390x", 0x80000016, 64, little=False),
    _abi("s390", 0x16, 32, little=False),
    _abi("mips", 0x8, 32, little=False),
    _abi("mips64", 0x80000008, 64, little=False),
    _abi("mips64n32", 0xA0000008, 32, little=False),
    _abi("mipsel", 0x40000008, 32),
    _abi("mipsel64", 0xC0000008, 64),
    _abi("mipsel64n32", 0xE0000008, 32),
    _abi("parisc", 0xF, 32, little=False),
    _abi("parisc64", 0x8000000F, 64, little=False),
    _abi("m68k", 0x4, 32, little=False),
    _abi("sh", 0x4000002A, 32),
    _abi("sheb", 0x2A, 32, little=False),
)
ABIS = {abi.name: abi for abi in _ALL}
_BY_TOKEN = {abi.token: abi for abi in _ALL}

# The native ABI first, then the others that its kernel may have been built to run.
_FAMILIES = (
    ("x86_64", "x86", "x32"),
    ("aarch64", "arm"),
    ("ppc64", "ppc"),
    ("s390x", "s390"),
    ("mips64", "mips", "mips64n32"),
    ("mipsel64", "mipsel", "mipsel64n32"),
    ("parisc64", "parisc"),
)


def of_token(token: int) -> Abi:
    """Return the ABI with this libseccomp token. Raises ProfileError."""
    if token not in _BY_TOKEN:
        raise ProfileError(f"libseccomp's architecture {token:#x} is not known to runc-wrap")
    return _BY_TOKEN[token]


def of_oci(name: str) -> Abi:
    """Return the ABI with this name of `architectures`, SCMP_ARCH_*. Raises ProfileError."""
    found = ABIS.get(name.removeprefix(_OCI_PREFIX).lower())
    if found is None:
        raise ProfileError(f"the architecture {name!r} is not known")
    return found


def of_call(arch: int, number: int) -> Abi | None:
    """Return the ABI of a recorded call, None for an unknown AUDIT_ARCH_*."""
    native = next((abi for abi in _ALL if abi.token == abi.audit == arch), None)
    if native is ABIS["x86_64"] and number >= 0 and number & X32_BIT:
        return ABIS["x32"]
    return native


def runnable(native: Abi) -> tuple[Abi, ...]:
    """Return the ABIs whose calls can reach the kernel of a machine, the native one first."""
    family = next((names for names in _FAMILIES if names[0] == native.name), (native.name,))
    return tuple(ABIS[name] for name in family)
