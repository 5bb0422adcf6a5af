"""What commands say about a container that keeps its engine's default profile."""

import html
import json
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node.container_state import kept_defaults, redecide
from runc_wrap.profiles import builtin, platform
from runc_wrap.profiles.profile_compiler import compile_profile
from tests.unit.cli.ctl import Node
from tests.unit.evidence.samples import write_ledger
from tests.unit.host.test_container_discovery import runc

Json = dict[str, Any]
HELD = ["CAP_SYS_CHROOT"]
KEPT = {"action": "keep", "declared": "own profile", "reason": "It has one.", "filters": 1}
TOLD = (
    "1 container keeps its engine's default profile (containerd): no rule, mode or opt-out reaches "
    'it; adopt = "runtime-default" does'
)
TOLD_OF_NODES = TOLD.replace("1 container", "1 container on 1 node")


def _made(name: str) -> Any:
    """Return containerd's newest default."""
    if name != "containerd":
        raise Refusal("there is none.")
    return compile_profile(builtin.load(name), arch=platform.goarch(), kernel=platform.kernel())


def default() -> Json:
    """Return containerd's newest default on this machine, for HELD."""
    return resolve(_made("containerd"), frozenset(HELD))


def container(node: Node, block: Json | None, **line: Any) -> Path:
    """Make a stopped container of containerd with this block, and its line; return its bundle."""
    root, name = node.places.prefix / "root", f"c{len(line)}"
    bundle = node.places.prefix / "bundle"
    bundle.mkdir(exist_ok=True)
    config = {"linux": {"seccomp": block}, "process": {"capabilities": {"bounding": HELD}}}
    (bundle / "config.json").write_bytes(json_codec.dumps(config))
    runc(root, name, init_process_start=1, bundle=str(bundle))
    ours = {"id": name, "root": str(root), "bundle": str(bundle), "engine": "containerd"}
    write_ledger(node.places.ledger, {**ours, **line})
    return bundle


EXPLAINED = "That profile is the engine's default, containerd, call by call; with `adopt`"


def test_every_command_names_it_and_reports_count_it(applied: Node, tmp_path: Path) -> None:
    bundle = container(applied, default(), **KEPT)
    (shown,) = applied.json("status")
    assert (shown["declared"], shown["engine_default"]) == ("engine's default", "containerd")
    assert shown["replaced"] is None
    page, fleet = str(tmp_path / "page"), str(tmp_path / "fleet")
    answer = applied.ctl("report", "--json", "--node", "a", "--html", page).stdout
    (tmp_path / "fleet").write_text(answer)
    assert json.loads(answer)["kept"] == {"adopts": False, "profiles": {"containerd": 1}}
    assert f"<p>{html.escape(TOLD)[:60]}" in (tmp_path / "page").read_text()
    for words, told in (
        (["status"], f"{TOLD}.\n"),
        (["apply", "--check"], f"note: {TOLD}.\n"),
        (["report"], f"note: not in this report: {TOLD}\n"),
        (["explain", str(bundle)], EXPLAINED),
        (["report", "--merge", fleet, "--html", page], ""),
        (["report", "--merge", fleet], f"Not in this report: {TOLD_OF_NODES}.\n"),
    ):
        assert told in applied.ctl(*words, status=0).output
    assert f"<p>{html.escape(TOLD_OF_NODES)[:60]}" in (tmp_path / "page").read_text()


OTHERS = [
    ({"defaultAction": "SCMP_ACT_LOG"}, KEPT),
    ({}, {**KEPT, "engine": "docker"}),
    ({}, {**KEPT, "action": "inject", "declared": "unset"}),
    ({}, {**KEPT, "action": "inject", "declared": "engine's default"}),
    ({}, {**KEPT, "declared": "ready-made filter"}),
    ({}, {**KEPT, "bundle": "/nowhere"}),
    *((text, KEPT) for text in ("", "[]", '{"linux": []}', '{"linux": {"seccomp": 7}}')),
]


@pytest.mark.parametrize(("change", "line"), OTHERS)
def test_of_other_containers_nothing_is_said(applied: Node, change: Json | str, line: Json) -> None:
    bundle = container(applied, default() | (change if isinstance(change, dict) else {}), **line)
    if isinstance(change, str):
        (bundle / "config.json").write_text(change)
    (shown,) = applied.json("status")
    assert shown["engine_default"] is None
    assert "engine's default profile" not in applied.ctl("report").output


def test_under_adopt_apply_says_that_new_ones_are_decided(applied: Node) -> None:
    container(applied, default(), **KEPT)
    applied.configure('[default]\nadopt = "runtime-default"\n')
    (change,) = applied.json("apply", "--diff")["changes"]
    assert (change["action"], change["then"]["action"]) == ("keep", "inject")
    said = applied.ctl("apply").stdout
    assert "adopt            runtime-default\n" in said
    assert "the policy decides about those that start from now on.\n" in said


def _replaced(node: Node, action: str, block: Json | None) -> Path:
    text = digest(json_codec.dumps(block)) if block else None
    mode, profile = ("enforce", "containerd") if block else (None, None)
    line = {"action": action, "mode": mode, "profile": profile, "digest": text}
    return container(node, block, **line, declared="engine's default", replaced="containerd")


@pytest.mark.parametrize("action", ["inject", "leave"])
def test_a_replaced_profile_is_put_back_before_a_new_decision(applied: Node, action: str) -> None:
    ours = {"defaultAction": "SCMP_ACT_KILL"} if action == "inject" else None
    bundle = _replaced(applied, action, ours)
    record = redecide.last_of(applied.places.ledger, str(bundle))
    text = redecide.as_it_came((bundle / "config.json").read_bytes(), record, _made)
    assert json.loads(text)["linux"]["seccomp"] == default()
    assert "keep: " in applied.ctl("explain", str(bundle)).stdout
    (change,) = applied.json("apply", "--diff")["changes"]
    assert (change["action"], change["then"]["action"]) == (action, "keep")
    assert applied.json("status")[0]["replaced"] == "containerd"


def test_a_replaced_profile_that_is_no_longer_known_is_said(applied: Node) -> None:
    line = {"declared": "engine's default", "replaced": "containers-common@system"}
    bundle = container(applied, None, action="leave", **line)
    assert "which was replaced, is no longer known" in applied.failure("explain", str(bundle))


def test_a_missing_profile_is_nobodys_default_and_one_the_policy_lost_is_in_the_table() -> None:
    known = kept_defaults.Recognizer({"containerd": ["missing", "containerd"]}, _made)
    of = ((known.of_block(default(), "containerd", frozenset(one))) for one in (HELD, ()))
    assert [*of] == ["containerd", ""]
    assert known.of_block(default(), None, frozenset(HELD)) == ""
    lost = kept_defaults.block_of("containerd", frozenset(HELD), lambda _: _made("none"))
    assert lost == default()
