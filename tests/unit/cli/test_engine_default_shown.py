"""What commands say about a container that keeps its engine's default profile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.host import runtime_state
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node.container_state import default_recognition, redecide, users_containers
from runc_wrap.profiles import builtin, platform
from runc_wrap.profiles.profile_compiler import compile_profile
from tests.unit.host.test_containers import runc

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.hotpath.compiled_policy import CompiledProfile
    from tests.unit.cli.ctl import Node

Json = dict[str, Any]
HELD = ["CAP_SYS_CHROOT"]
KEPT = {"action": "keep", "declared": "own profile", "reason": "It has one.", "filters": 1}
TOLD = (
    "1 container keeps its engine's default profile (containerd): no rule, mode or opt-out reaches "
    'it; adopt = "runtime-default" does'
)


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtime_state, "KNOWN_ROOTS", ())
    monkeypatch.setattr(users_containers, "RUN_DIRECTORIES", f"{tmp_path}/user/")


def default() -> Json:
    """Return containerd's newest default on this machine, for HELD."""
    kernel = platform.kernel()
    made = compile_profile(builtin.load("containerd"), arch=platform.goarch(), kernel=kernel)
    return resolve(made, frozenset(HELD))


def container(node: Node, block: Json | None, **line: Any) -> Path:
    """Make a stopped container of containerd with this block, and its line; return its bundle."""
    root, name = node.places.prefix / "root", f"c{len(line)}"
    bundle = node.places.prefix / "bundle"
    bundle.mkdir(exist_ok=True)
    config = {"linux": {"seccomp": block}, "process": {"capabilities": {"bounding": HELD}}}
    (bundle / "config.json").write_bytes(json_codec.dumps(config))
    runc(root, name, init_process_start=1, bundle=str(bundle))
    ours = {"id": name, "root": str(root), "bundle": str(bundle), "engine": "containerd"}
    node.places.ledger.mkdir(parents=True, exist_ok=True)
    with (node.places.ledger / "ledger.jsonl").open("a") as file:
        file.write(json.dumps({**ours, **line}) + "\n")
    return bundle


def test_every_command_names_it(applied: Node) -> None:
    bundle = container(applied, default(), **KEPT)
    (shown,) = applied.json("status")
    assert (shown["declared"], shown["engine_default"]) == ("engine's default", "containerd")
    assert shown["replaced"] is None
    assert f"{TOLD}.\n" in applied.ctl("status").stdout
    assert f"note: {TOLD}.\n" in applied.ctl("apply", "--check").stdout
    assert f"note: not in this report: {TOLD}\n" in applied.ctl("report").stderr
    assert applied.ctl("explain", str(bundle)).stdout == (
        "keep: The config brings a seccomp profile of its own.\n"
        "That profile is the engine's default, containerd, call by call; "
        'with adopt = "runtime-default" the policy decides about it.\n'
    )


def test_reports_count_it_in_the_nodes_document_and_on_the_page(
    applied: Node, tmp_path: Path
) -> None:
    container(applied, default(), **KEPT)
    answer = applied.ctl("report", "--json", "--node", "a", "--html", str(tmp_path / "page"))
    assert json.loads(answer.stdout)["kept"] == {"adopts": False, "profiles": {"containerd": 1}}
    assert (
        "<p>1 container keeps its engine&#x27;s default profile (containerd): no rule"
        in (tmp_path / "page").read_text()
    )
    (tmp_path / "fleet").write_text(answer.stdout)
    merged = applied.ctl(
        "report", "--merge", str(tmp_path / "fleet"), "--html", str(tmp_path / "m")
    )
    assert merged.exit_code == 0
    assert "1 container on 1 node keeps its engine&#x27;s default" in (tmp_path / "m").read_text()
    shown = applied.ctl("report", "--merge", str(tmp_path / "fleet")).stdout
    told = TOLD.replace("1 container", "1 container on 1 node")
    assert f"Not in this report: {told}.\n" in shown


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"defaultAction": "SCMP_ACT_LOG"}, KEPT),
        ({}, {**KEPT, "engine": "docker"}),
        ({}, {**KEPT, "action": "inject", "declared": "unset"}),
        ({}, {**KEPT, "action": "inject", "declared": "engine's default"}),
        ({}, {**KEPT, "declared": "ready-made filter"}),
        ({}, {**KEPT, "bundle": "/nowhere"}),
    ],
)
def test_of_any_other_container_nothing_is_said(applied: Node, change: Json, line: Json) -> None:
    container(applied, {**default(), **change}, **line)
    (shown,) = applied.json("status")
    assert shown["engine_default"] is None
    for words in (["status"], ["apply", "--check"], ["report"]):
        said = applied.ctl(*words)
        assert "engine's default profile" not in said.stdout + said.stderr


def test_a_config_that_is_not_one_is_nobodys_default(applied: Node) -> None:
    bundle = container(applied, default(), **KEPT)
    for text in ("", "[]", '{"linux": []}', '{"linux": {"seccomp": 7}}'):
        (bundle / "config.json").write_text(text)
        (shown,) = applied.json("status")
        assert (shown["engine_default"], shown["declared"]) == (None, "own profile")


def test_under_adopt_doctor_finds_nothing_and_apply_says_that_new_ones_are_decided(
    applied: Node,
) -> None:
    container(applied, default(), **KEPT)
    applied.configure('[default]\nadopt = "runtime-default"\n')
    (change,) = applied.json("apply", "--diff")["changes"]
    assert (change["action"], change["then"]["action"]) == ("keep", "inject")
    said = applied.ctl("apply").stdout
    assert "adopt            runtime-default\n" in said
    assert "the policy decides about those that start from now on.\n" in said
    findings = json.loads(applied.ctl("doctor", "--json").stdout)["findings"]
    assert "engine-default" not in [one["check"] for one in findings]


def test_apply_shows_and_refuses_adopt(node: Node) -> None:
    node.configure('[[rule]]\nname = "look"\nmode = "enforce"\nadopt = "runtime-default"\n')
    assert "rule 1           look (enforce, adopts runtime-default)\n" in node.ctl("apply").stdout
    assert node.json("apply")["rules"][0]["adopt"] == "runtime-default"
    node.configure('[default]\nmode = "audit"\nadopt = "runtime-default"\n')
    refused = node.failure("apply")
    assert "config.toml:3: default.adopt adopts" in refused
    assert 'adopt = "runtime-default, also weaker"' in refused
    node.configure('[default]\nadopt = "yes"\n')
    assert '"none", "runtime-default" or "runtime-default, also weaker"' in node.failure("apply")


def _replaced(node: Node, action: str, block: Json | None) -> Path:
    text = digest(json_codec.dumps(block)) if block else None
    mode, profile = ("enforce", "containerd") if block else (None, None)
    line = {"action": action, "mode": mode, "profile": profile, "digest": text}
    return container(node, block, **line, declared="engine's default", replaced="containerd")


def _made(name: str) -> CompiledProfile:
    if name != "containerd":
        raise Refusal("there is none.")
    kernel = platform.kernel()
    return compile_profile(builtin.load(name), arch=platform.goarch(), kernel=kernel)


@pytest.mark.parametrize("action", ["inject", "leave"])
def test_a_replaced_profile_is_put_back_before_it_is_decided_on_again(
    applied: Node, action: str
) -> None:
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
    bundle = container(
        applied,
        None,
        action="leave",
        declared="engine's default",
        replaced="containers-common@system",
    )
    assert "which was replaced, is no longer known" in applied.failure("explain", str(bundle))


def test_a_profile_that_is_missing_is_nobodys_default() -> None:
    known = default_recognition.Recognizer({"containerd": ["missing", "containerd"]}, _made)
    assert known.of_block(default(), "containerd", frozenset(HELD)) == "containerd"
    assert known.of_block(default(), "containerd", frozenset()) == ""
    assert known.of_block(default(), None, frozenset(HELD)) == ""


def test_a_default_that_the_policy_no_longer_has_is_taken_from_the_table() -> None:
    def nothing(_: str) -> CompiledProfile:
        raise Refusal("there is none.")

    assert default_recognition.block_of("containerd", frozenset(HELD), nothing) == default()
