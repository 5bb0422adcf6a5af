"""`record` on real runtimes: what is denied stays denied, what is allowed is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.containers import logged_calls
from harness.node import agent as agents
from harness.node import install
from runc_wrap.evidence.sightings import RECORDED
from runc_wrap.profiles.return_codes import USER_NOTIF
from tests.runtime.observe.test_calls import CALLS, GETPID, MOUNT, PERSONALITY, VSOCK, block

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from harness.node.agent import Agent
    from tests.runtime.conftest import Pair

INET, PERSONALITY_8 = "x86_64:41:2:1:0", "x86_64:135:0x8"
MKDIR_X86 = "x86:39:0:0"


@pytest.fixture
def recording(node: install.Installed, pair: Pair) -> install.Installed:
    node.configure(f'runtime = ["{pair.kind}"]\n[default]\nrecord = true\n')
    return node


def kinds(node: install.Installed, bundle: Bundle) -> dict[tuple[str, int], list[Any]]:
    found: dict[tuple[str, int], list[Any]] = {}
    for call in node.evidence.containers[bundle.key].calls:
        assert call.code == USER_NOTIF | RECORDED
        assert (call.comm, call.exe) == ("", "")
        found.setdefault((f"{call.arch:x}", call.number), []).append(call.args)
    return found


def test_what_is_denied_stays_denied_and_what_is_allowed_is_recorded(
    pair: Pair,
    recording: install.Installed,
    agent: Agent,
    make_bundle: Callable[..., Bundle],
    built: Callable[[str], Path],
) -> None:
    calls = (*CALLS, INET, PERSONALITY_8, MKDIR_X86)
    enforced = make_bundle(pair.kind, seccomp=block("enforce"))
    as_enforced = logged_calls.make(enforced, pair.bare, built("calls"), *calls)
    bundle = make_bundle(pair.kind)
    assert logged_calls.make(bundle, recording.wrapper, built("calls"), *calls) == as_enforced
    agents.stop(agent)
    found = kinds(recording, bundle)
    assert logged_calls.number(MOUNT) not in found
    assert logged_calls.number(GETPID) not in found
    assert {args[0] for args in found[logged_calls.number(INET)]} == {2}
    assert {args[0] for args in found[logged_calls.number(PERSONALITY)]} == {0x8, 0x20000}
    assert logged_calls.number(MKDIR_X86) in found
    assert recording.ledger()[-1]["recorded"] is True
    assert VSOCK in calls
