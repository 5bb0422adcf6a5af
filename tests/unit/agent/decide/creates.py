"""Configs and command lines from hypothesis, and the cold path's results for them."""

import json
import time
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from runc_wrap.hotpath import argv, main
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.exec_runtime import Launch
from tests.unit.policy.node import PROFILE, compiled
from tests.unit.profiles.strategies import oci_blocks, texts

Json = dict[str, Any]

POLICIES = {
    "the default": compiled(own_profiles={"a.json": PROFILE}),
    "audit, an overlay and rules": compiled(
        {
            "default.mode": "audit",
            "default.privileged": "confine",
            "overlay.deny": ["io_uring_setup", "clone3"],
            "overlay.deny_sockets": ["vsock"],
            "overlay.existing": True,
            "opt_out.namespaces": ["free"],
            "rule": [
                {"name": "half", "namespace": ["half*"], "percent": 50, "mode": "enforce"},
                {"name": "off", "engine": ["containerd"], "pod": ["off"], "mode": "off"},
            ],
        },
        own_profiles={"a.json": PROFILE},
    ),
}
PLACES = ("b", "io.containerd.runtime.v2.task/k8s.io/c1", "io.containerd.runtime.v2.task/moby/c1")
_CAPABILITIES = ["CAP_SYS_ADMIN", "CAP_KILL", "CAP_SYS_CHROOT", "CAP_BPF", "CAP_SYS_PTRACE"]
SANDBOX = "c0"  # beside the container where that is CRI's
SANDBOXS: Json = {
    "annotations": {
        "io.kubernetes.cri.container-type": "sandbox",
        "io.kubernetes.cri.sandbox-id": SANDBOX,
        "runc-wrap/seccomp": "unconfined",
    }
}
_annotations = st.dictionaries(
    st.sampled_from(
        ["io.kubernetes.cri.sandbox-name", "io.kubernetes.cri.container-name", "other", "\u4e2d"]
    ),
    st.sampled_from(["off", "x", "", '"}{']),
) | st.fixed_dictionaries(
    {
        "runc-wrap/seccomp": st.sampled_from(
            ["unconfined", "runtime-default", "localhost/a.json", "localhost/none", "nonsense"]
        ),
        "io.kubernetes.cri.sandbox-namespace": st.sampled_from(["free", "half1", "half2", "x"]),
        "io.kubernetes.cri.container-type": st.sampled_from(["container", "sandbox"]),
        "io.kubernetes.cri.sandbox-id": st.sampled_from([SANDBOX, "none", "../b"]),
    }
)
_linux = st.fixed_dictionaries(
    {},
    optional={
        "maskedPaths": st.just(["/proc/kcore"]),
        "seccomp": st.none() | st.just({}) | oci_blocks() | st.just("wrong"),
        "resources": st.just({"devices": [{"allow": True, "access": "rwm"}]}),
    },
)
configs = st.fixed_dictionaries(
    {
        "process": st.builds(
            lambda found: {"capabilities": {"bounding": found}},
            st.lists(st.sampled_from(_CAPABILITIES), unique=True),
        ),
        "annotations": _annotations,
        "linux": _linux,
    },
    optional={"unknown": st.lists(texts | st.integers(-(2**63), 2**64 - 1)), "LINUX": st.just(1)},
)


def words(directory: Path, *, flags: tuple[str, ...] = ()) -> list[str]:
    """Return a create's arguments after the runtime's name."""
    pid_file = str(directory / "pid")
    return ["create", "--bundle", str(directory), "--pid-file", pid_file, *flags, "c1"]


def cold(prefix: Path, kind: str, called: list[str]) -> str:
    """Run the cold path without the exec; return the reason of a refusal, "" for none."""
    said = ["--prefix", str(prefix), "--kind", kind, "--called-as", "/x/runc-wrap"]
    launch = Launch([*said, "--", *called])
    invocation = argv.parse(called, kind)
    assert invocation
    try:
        main.confine_or_pass(launch, invocation)
    except Refusal as refusal:
        return str(refusal)
    return ""


def ledger(prefix: Path) -> list[Json]:
    """Return the ledger's lines without what differs by who decided and when."""
    path = prefix / "var" / "ledger" / "ledger.jsonl"
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        assert 0 <= line.pop("seconds") < 60
        assert line.pop("time") <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return lines
