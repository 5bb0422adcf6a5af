"""A call that a runtime's libseccomp does not know, on real runtimes, and what doctor says of it.

Each runtime has libseccomp 2.6.0, which does not know file_getattr (Linux 6.17).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.containers.block_rules import profile, rule
from runc_wrap.node import seccomp_features
from runc_wrap.profiles import abis, engine_versions, syscall_names
from tests.runtime.conftest import Lab

NAME, CALL = "file_getattr", "x86_64:468:0:0:0:0"
KNOWN, KNOWN_CALL = "getcpu", "x86_64:309:0:0:0"
PROFILES = ("allowing", "denying")
# profile, runtime -> what the unknown call gets, how doctor grades that, and its words
OUTCOMES = {
    ("allowing", "runc"): ("errno 38", "note", "containers get ENOSYS"),
    ("allowing", "crun"): ("errno 1", "warning", "containers get EPERM"),
    ("denying", "runc"): ("not denied", "warning", "they stay allowed"),
    ("denying", "crun"): ("not denied", "warning", "they stay allowed"),
}


def _profile(kind: str) -> dict[str, Any]:
    """Return a profile of which file_getattr and getcpu are two of the calls that it names."""
    native = ["SCMP_ARCH_X86_64"]
    if kind == "denying":
        return profile(rule("ERRNO", NAME, KNOWN, errnoRet=1), architectures=native)
    named = rule("ALLOW", *sorted({*syscall_names.numbers(abis.ABIS["x86_64"]), NAME}))
    return profile(named, default="ERRNO", defaultErrnoRet=1, architectures=native)


def _needs_old_library(runtime: Path) -> None:
    shown = seccomp_features.printed(runtime).annotations.libseccomp
    if engine_versions.reached(engine_versions.parse(shown), "2.6.1"):
        pytest.skip(f"{runtime} has libseccomp {shown}, which knows {NAME}")


@pytest.mark.parametrize("kind", PROFILES)
def test_an_unknown_call_gets_what_doctor_says(lab: Lab, kind: str) -> None:
    lab.own_profile(_profile(kind))
    lab.configure('[default]\nprofile = "localhost/own.json"\n')
    policy = json.loads((lab.node.prefix / "var/policy.2/current/policy.json").read_text())
    path = Path(policy["runtime"]["path"])
    _needs_old_library(path)
    gets, severity, words = OUTCOMES[kind, lab.kind]
    free = lab.under(None, CALL, KNOWN_CALL)
    assert free[CALL] not in ("errno 1", "errno 38"), "this kernel lacks the call"
    found = lab.calls(CALL, KNOWN_CALL)
    assert found[KNOWN_CALL] == ("errno 1" if kind == "denying" else "returned")
    assert found[CALL] == (free[CALL] if gets == "not denied" else gets)
    findings = lab.node.shown("doctor")["findings"]
    (told,) = (each for each in findings if each["check"] == "libseccomp")
    assert (told["severity"], words in told["sentence"]) == (severity, True)
    assert f"which does not know {NAME}" in told["sentence"] or kind == "allowing"
    remedy = f"upgrade the libseccomp that `ldd {path}` names"
    assert (told["remedy"], told["command"]) == (remedy, "")
