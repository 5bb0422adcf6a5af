"""Modes, ABIs and overlay in the compiler: what the node must support, what is written."""

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runc_wrap.policy import policy_store
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.policy.settings.schema import FAMILIES
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.runtime_spec_names import ACTIONS, FLAGS
from tests.unit.policy.node import PROFILE, compiled, in_force, load_profile
from tests.unit.profiles.strategies import moby_profiles, oci_blocks

LOG = "SCMP_ACT_LOG"
AUDIT = {"default.mode": "audit"}
OBSERVE = {"default.mode": "observe"}
KILLABLE = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"


def _modes(found: Compiled) -> set[str]:
    return {mode for _, mode in found.profiles}


def _block(found: Compiled, mode: str = "enforce", name: str = "moby") -> dict[str, Any]:
    return dict(found.profiles[name, mode]["block"])


def test_every_mode_that_a_container_can_get_is_compiled_and_enforce_always() -> None:
    rule = {"name": "a", "mode": "audit"}
    assert _modes(compiled()) == {"enforce"}
    assert _modes(compiled({"rule": [rule], "default.mode": "off"})) == {"audit", "enforce"}
    assert _modes(compiled({"default.privileged": "audit"})) == {"audit", "enforce"}
    found = compiled({"default.mode": "enforce-log"}, flags=FLAGS)
    assert _modes(found) == {"enforce", "enforce-log"}


def test_enforce_log_sets_the_flag_in_its_own_form_only() -> None:
    found = compiled({"default.mode": "enforce-log"}, flags=FLAGS)
    assert "SECCOMP_FILTER_FLAG_LOG" in _block(found, "enforce-log")["flags"]
    assert "flags" not in _block(found)


def test_audit_without_the_log_is_remarked_at_the_line_of_its_mode() -> None:
    for mode in (AUDIT, OBSERVE):
        (told,) = [one for one in compiled(mode, logged=False).remarks if "lacks log" in one]
        assert "default.privileged" not in told


def test_observe_also_compiles_audit_for_creates_without_an_agent() -> None:
    found = compiled(OBSERVE, listener="/p/var/agent/notify.sock")
    assert _modes(found) == {"audit", "enforce", "observe"}
    made = _block(found, "observe")
    assert (made["defaultAction"], made["listenerPath"]) == (LOG, "/p/var/agent/notify.sock")
    assert "flags" not in made
    assert "listenerPath" not in _block(found, "audit")
    killable = compiled(OBSERVE, listener="/p/notify.sock", flags=FLAGS)
    assert KILLABLE in _block(killable, "observe")["flags"]
    assert any("EINTR" in remark for remark in found.remarks)
    assert not any("EINTR" in remark for remark in killable.remarks)


UNSUPPORTED = [
    ("enforce-log", {}, r"runc 1\.1\.15 .* does not\. Use audit, or install"),
    ("audit", {"actions": ACTIONS - {LOG}}, "audit needs the action SCMP_ACT_LOG"),
    ("observe", {"actions": ACTIONS - {"SCMP_ACT_NOTIFY"}}, "observe needs the action SCMP"),
    ("observe", {"listener": "/" + "x" * 107}, "whose path is too long for a socket"),
]


@pytest.mark.parametrize(("mode", "facts", "said"), UNSUPPORTED)
def test_an_unsupported_mode_is_refused(mode: str, facts: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        compiled({"default.mode": mode}, **facts)


def test_without_libseccomp_observe_has_no_names_to_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscall_names, "known_to_libseccomp", lambda _: None)
    with pytest.raises(PolicyError, match="needs libseccomp for the names of calls"):
        compiled(OBSERVE)


def test_abis_are_limited_to_the_kernels_or_the_native_one() -> None:
    runs = frozenset({"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"})
    every = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert _block(compiled())["architectures"] == every
    kernel = compiled({"default.abis": "kernel"}, abis=runs)
    assert _block(kernel)["architectures"] == every[:2]
    native = compiled({"default.abis": "native", **AUDIT}, abis=runs)
    assert _block(native)["architectures"] == every[:1]
    assert _block(native, "audit")["architectures"] == every
    assert any("enforce kills callers through SCMP_ARCH_X86;" in each for each in native.remarks)
    unknown = compiled({"default.abis": "kernel"})
    assert _block(unknown)["architectures"] == every
    assert any("could not determine" in remark for remark in unknown.remarks)


def test_an_engine_that_is_too_old_gets_the_nearest_and_a_note() -> None:
    found = compiled(engines={"containerd": "1.5.9", "podman": "3.4.4", "docker": "1.13"})
    defaults = found.policy["runtime_default"]
    nearest = [defaults[engine] for engine in ("containerd", "podman", "docker")]
    assert nearest == ["containerd@1.6.0", "containers-common@0.49.0", "moby@23.0.0"]
    assert sum("the nearest known one, is used" in remark for remark in found.remarks) == 3
    with pytest.raises(PolicyError, match=r"containerd@1\.5\.9: .*older than the built-in"):
        compiled({"runtime_default.containerd": "1.5.9"})


def test_a_misspelt_denial_is_refused() -> None:
    with pytest.raises(PolicyError) as told:
        compiled({"overlay.deny": ["io_uring_stup", "execve"]})
    first, second = str(told.value).splitlines()
    assert "libseccomp does not know (did you mean io_uring_setup?): runtimes would" in first
    assert "no container could start" in second


def test_an_overlay_that_denies_nothing_is_none() -> None:
    assert compiled().policy["overlay"] is None
    with pytest.raises(PolicyError, match="overlay denies nothing"):
        compiled({"overlay.existing": True})
    found = compiled({"overlay.deny_sockets": ["AF_ALG", 40]})
    rings = ["io_uring_setup", "io_uring_enter", "io_uring_register"]
    wanted = {"deny": rings, "deny_sockets": [38, 40], "existing": False}
    assert found.policy["overlay"] == wanted


families = st.sampled_from(sorted(FAMILIES))
values = st.fixed_dictionaries(
    {
        "default.mode": st.sampled_from(["enforce", "enforce-log", "audit", "off"]),
        "default.abis": st.sampled_from(["engine", "kernel", "native"]),
        "default.privileged": st.sampled_from(["leave", "audit", "confine"]),
        "opt_out.annotations": st.booleans(),
        "opt_out.namespaces": st.lists(st.sampled_from(["*", "a", "b-*"]), unique=True),
        "overlay.deny": st.lists(st.sampled_from(["bpf", "clone3", "socket", "read"]), unique=True),
        "overlay.io_uring": st.sampled_from(["deny", "allow"]),
        "overlay.deny_sockets": st.lists(families, unique=True, max_size=3),
        "rule": st.lists(
            st.fixed_dictionaries(
                {"name": st.text("ab\u00e9 ", min_size=1, max_size=3)},
                optional={
                    "namespace": st.just(["x-*"]),
                    "mode": st.sampled_from(["enforce", "audit", "off"]),
                    "percent": st.integers(0, 100),
                    "until": st.dates(dt.date(2000, 1, 1), dt.date(9998, 1, 1)),
                },
            ),
            max_size=3,
        ),
    }
)


documents = (oci_blocks() | moby_profiles()).map(lambda document: json.dumps(document).encode())


@given(values, st.dictionaries(st.sampled_from(["a", "b/c.json", "%2F"]), documents, max_size=2))
@settings(max_examples=50)
def test_what_is_compiled_is_read_back_by_the_hot_path(
    tmp_path_factory: pytest.TempPathFactory, written: dict[str, Any], own: dict[str, bytes]
) -> None:
    try:
        found = compiled(written, flags=FLAGS, own_profiles=own)
    except PolicyError:
        found = compiled(written, flags=FLAGS, own_profiles={"a.json": PROFILE})
    prefix = tmp_path_factory.mktemp("prefix")
    policy_store.put_in_force(found, prefix)
    assert in_force(prefix) == found.policy == json.loads(json.dumps(found.policy))
    for (name, mode), one in found.profiles.items():
        assert load_profile(prefix, name, mode) == one
        assert set(one) - {"narrowed"} == {"name", "version", "block", "rules"}
        assert {key for entry in one["rules"] for key in entry} <= {"rule", "all", "none"}
