"""What runtimes saved: read, made stricter, and replaced without touching what others share."""

import json
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.host.container_discovery import RUNNING, RuntimeContainer
from runc_wrap.profiles import return_codes
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.tighten import laid_filter, saved_state
from runc_wrap.tighten.laid_filter import LaidFilter
from tests.unit.profiles.resolving import block_of, needs_libseccomp

pytestmark = needs_libseccomp
RUNC, CRUN = Loader("runc"), Loader("crun")
OVERLAY: Any = {"deny": ["keyctl"], "deny_sockets": [38], "existing": True}


def container(root: Path, kind: str) -> RuntimeContainer:
    (root / "one").mkdir()
    return RuntimeContainer(str(root), "one", kind, RUNNING, 1, None, 0)


@pytest.mark.parametrize("spec", ["containerd", "moby", "containers-common"])
def test_a_block_is_the_same_after_runcs_form(spec: str) -> None:
    block = block_of(spec)
    again = saved_state.block_of(saved_state.saved_of(block))
    one, other = (laid_filter.of_block("", each, RUNC).program for each in (block, again))
    assert one == other
    saved = saved_state.saved_of(again)
    assert saved == saved_state.saved_of(saved_state.block_of(saved))


@pytest.mark.parametrize(
    "changes",
    [
        {"default_action": 0},
        {"default_action": 99},
        {"syscalls": [{"name": "read"}]},
        {"syscalls": 7},
    ],
)
def test_what_a_later_runc_may_save_is_refused(changes: Any) -> None:
    saved = {**saved_state.saved_of(block_of("containerd")), **changes}
    with pytest.raises(ProfileError, match="unknown form"):
        saved_state.block_of(saved)


def test_runcs_state_gets_the_overlay_and_stays_as_it_was_otherwise(tmp_path: Path) -> None:
    one = container(tmp_path, "runc")
    saved = saved_state.saved_of(block_of("containerd"))
    state = {"id": "one", "limit": (1 << 64) - 1, "config": {"seccomp": saved, "hooks": {}}}
    (tmp_path / "one" / "state.json").write_text(json.dumps(state))
    laid, before = laid_filter.of_overlay(OVERLAY), saved_state.read(one, RUNC)
    assert not before.has(laid)
    before.replace(before.with_filter(laid, RUNC))
    after = saved_state.read(one, RUNC)
    assert after.has(laid)
    assert filter_comparison.weaker(after.filters, before.filters) == ()
    now = json.loads(after.text)
    assert {**now, "config": {**now["config"], "seccomp": saved}} == state


def test_one_profile_that_lets_through_more_than_both_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = container(tmp_path, "runc")
    saved = saved_state.saved_of(block_of("containerd"))
    (tmp_path / "one" / "state.json").write_text(json.dumps({"config": {"seccomp": saved}}))
    monkeypatch.setattr(LaidFilter, "merged_with", lambda _, block: block)
    with pytest.raises(ProfileError, match="no single profile does what both do"):
        saved_state.read(one, RUNC).with_filter(laid_filter.of_overlay(OVERLAY), RUNC)


def test_runcs_state_without_a_filter_gets_this_one(tmp_path: Path) -> None:
    one = container(tmp_path, "runc")
    (tmp_path / "one" / "state.json").write_text('{"config": {"seccomp": null}}')
    laid, before = laid_filter.of_overlay(OVERLAY), saved_state.read(one, RUNC)
    assert before.filters == ()
    before.replace(before.with_filter(laid, RUNC))
    assert saved_state.read(one, RUNC).has(laid)


def test_cruns_filter_is_replaced_and_not_the_one_that_others_share(tmp_path: Path) -> None:
    one = container(tmp_path, "crun")
    old = laid_filter.of_block("", block_of("containerd"), CRUN).program
    shared = tmp_path / "cache"
    shared.write_bytes(old)
    (tmp_path / "one" / "seccomp.bpf").hardlink_to(shared)
    laid, before = laid_filter.of_overlay(OVERLAY), saved_state.read(one, CRUN)
    before.replace(before.with_filter(laid, CRUN))
    after = saved_state.read(one, CRUN)
    assert shared.read_bytes() == old
    assert after.has(laid)
    assert filter_comparison.weaker(after.filters, (old, laid.program)) == ()
    assert filter_comparison.weaker((old, laid.program), after.filters) == ()


def test_cruns_container_without_a_filter_gets_one(tmp_path: Path) -> None:
    one = container(tmp_path, "crun")
    laid, before = laid_filter.of_overlay(OVERLAY), saved_state.read(one, CRUN)
    assert (before.filters, before.has(laid)) == ((), False)
    before.replace(before.with_filter(laid, CRUN))
    path = tmp_path / "one" / "seccomp.bpf"
    assert path.read_bytes() == laid.program
    assert path.stat().st_mode & 0o777 == 0o700


def test_the_overlay_denies_a_family_and_leaves_socketcall_to_the_profile() -> None:
    program = bpf.program(laid_filter.of_overlay(OVERLAY).program)
    x86_64, x86 = (ABIS[name].audit for name in ("x86_64", "x86"))

    def action(arch: int, number: int, family: int) -> int:
        args = (family, 0, 0, 0, 0, 0)
        found = bpf.evaluate(program, bpf.SeccompData(arch, number, args))
        return found & return_codes.ACTION_MASK

    denied, allowed = return_codes.ERRNO, return_codes.ALLOW
    assert [action(x86_64, 41, family) for family in (38, 2)] == [denied, allowed]
    assert [action(x86, 359, family) for family in (38, 2)] == [denied, allowed]
    assert action(x86, 102, 1) == allowed  # socketcall(SYS_SOCKET)
    assert [action(x86_64, 250, 0), action(x86, 288, 0)] == [denied, denied]  # keyctl


def test_a_filter_that_asks_a_listener_is_noticed() -> None:
    rule = {"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}
    block = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    asks = laid_filter.of_block("", block, CRUN).program
    none = laid_filter.of_overlay(OVERLAY).program
    for one, notifies in ((asks, True), (none, False)):
        assert saved_state.SavedState(Path("/"), b"", (one,)).notifies is notifies
