"""The initial corpus: a few valid inputs for each target."""

import json
import struct

from harness.containers import bundles
from runc_wrap.agent.decide.launcher_packet import VERSION

_FIELDS = (
    "auid=4294967295 uid=0 gid=0 ses=4294967295 subj=unconfined pid=4711 "
    'comm="sh" exe="/bin/busybox" sig=0 arch=c000003e syscall=41 compat=0 ip=0x7f1 code=0x7ffc0000'
)
_STAMP = "audit(1764000000.123:4711): "
_LOGGED = f"type=1326 {_STAMP}{_FIELDS}"
_CONFIG = bundles.config("a", {"runc-wrap/seccomp": "unconfined", "b": 'x"\\\u2028'})
_OWN = bundles.config("a", seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []})
_RECOGNIZED = bundles.config(  # targets.BLOCK, written otherwise
    "a",
    seccomp={
        "syscalls": [{"action": "SCMP_ACT_ALLOW", "args": None, "names": ["read", "read"]}],
        "architectures": ["SCMP_ARCH_X86_64"],
        "defaultAction": "SCMP_ACT_ERRNO",
    },
)
_WORDS = "--root /r --log=/l --log-format json create --bundle /b --pid-file p -- a"
_CALL = {"arch": 0xC000003E, "number": 41, "count": 2, "first": 1.5, "last": 2.5}
_LINE = {"time": "2026-11-25T00:00:00Z", "id": "a", "root": "/r", "filters": 1, "pid": 7}
_STATE = {
    "ociVersion": "1.0.2",
    "fds": ["seccompFd"],
    "pid": 4711,
    "metadata": 'runc-wrap/1 {"c000003e:41":[[[0,"MASKED_EQ",255,1]]]}',
    "state": {"id": "a", "bundle": "/b", "status": "creating"},
}
_FILTER = struct.pack(
    "=HBBIHBBIHBBIHBBI",
    *(0x20, 0, 0, 16),
    *(0x15, 0, 1, 7),
    *(6, 0, 0, 0x7FFF0000),
    *(6, 0, 0, 0x50001),
)
_PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
            "excludes": {"caps": ["CAP_SYS_ADMIN"]},
            "includes": {"minKernel": "4.8", "arches": ["amd64"]},
        }
    ],
}


def _json(*values: object) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


_COMPOSED = {
    "base": "runtime-default",
    "add": [{"names": ["@aio", "keyctl"], "includes": {"caps": ["CAP_SYS_ADMIN"]}}],
    "remove": [{"names": ["@mount"], "excludes": {"minKernel": "6.1"}}],
}


_COVERED = [[1, 2, 1.0, 2.0]]
SEEDS: dict[str, list[bytes]] = {
    "config": _json(_CONFIG, _OWN, _RECOGNIZED, {"linux": None}, {}),
    "argv": [_WORDS.replace(" ", "\0").encode(), b"run\0-b\0/b\0a", b"restore\0a"],
    "audit": [
        f"type=SECCOMP msg={_STAMP}{_FIELDS}\n".encode(),
        f"Nov 25 10:00:00 node kernel: [  12.5] audit: {_LOGGED}\n".encode() * 2,
        f"6,1234,5678,-;audit: {_LOGGED}\n".encode(),
    ],
    "netlink": [struct.pack("=IHHII", 16, 1326, 0, 0, 0) + f"{_STAMP}{_FIELDS}".encode()],
    "journal": [
        json.dumps({"_TRANSPORT": "audit", "_BOOT_ID": "b", "MESSAGE": _FIELDS}).encode() + b"\n",
        json.dumps({"_TRANSPORT": "kernel", "MESSAGE": f"audit: {_LOGGED}"}).encode() + b"\n",
    ],
    "decide": [
        b"\0".join([VERSION, b"runc", b"/usr/bin/runc", b"/x/runc-wrap", *_WORDS.encode().split()])
        + b"\0"
    ],
    "notify": _json(_STATE, {"state": {}}),
    "ledger": _json(_LINE),
    "evidence": _json(
        {"version": 1, "root": "/r", "id": "a", "seen": {"audit": 1}, "calls": [_CALL]},
        {"version": 1, "lost": [], "watched": {"audit": [[1.0, 2.0]]}, "covered": _COVERED},
    ),
    "bpf": [_FILTER],
    "profile": _json(_PROFILE),
    "composed": _json(_COMPOSED),
    "strace": [
        b'[pid 7] 10:00:00.5 openat(AT_FDCWD, "/etc\\"(", 0x8000, 0) = 3\n',
        b"strace: [ Process PID=7 runs in 32 bit mode. ]\n7 socket(0x26, 1, 0) = -1\n",
    ],
    "json": _json(_CONFIG, [1, 1.5, "x", None, True]),
}
