"""A node's facts, gathered for the compiler, and an `apply` that finds them as they were."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from runc_wrap.apply import apply_policy, policy_proof
from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.node import installed_programs
from runc_wrap.node.paths import Places
from runc_wrap.policy import policy_store
from runc_wrap.policy.settings import rule_checks
from runc_wrap.profiles import platform
from tests.unit.cli import ctl
from tests.unit.cli.ctl import Node
from tests.unit.node import machine
from tests.unit.policy.node import PROFILE


def test_the_kind_in_force_stays_unless_the_config_names_a_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = machine.empty(tmp_path, monkeypatch)
    crun = machine.fake(folder, "crun", "echo crun version 1.21")
    places = Places(tmp_path)
    places.runtime.mkdir(parents=True)
    (places.runtime / "crun").symlink_to(crun)
    machine.fake(folder, "runc", "echo runc version 1.2.3")
    assert apply_policy.gather_facts(places, None).runtime_kind == "crun"
    assert apply_policy.gather_facts(places, ["runc", "crun"]).runtime_kind == "runc"


RULE = '[[rule]]\nname = "a"\npod = ["a"]\nuntil = 2040-01-01\n'
OLDER = ("2.5.1", "")
CHANGES: dict[str, Callable[[Node, pytest.MonkeyPatch], object]] = {
    "a setting": lambda node, _: node.configure(f'on_error = "run-unmodified"\n{RULE}'),
    "a comment, so that status compares with it": lambda node, _: node.configure(f"{RULE}#\n"),
    "a profile's file": lambda node, _: node.configure(RULE, one=PROFILE + b" "),
    "an engine's version": lambda node, _: _prints(node, "containerd containerd.io 2.1.0"),
    "the runtime's version": lambda node, _: _prints(node, "runc version 1.2.0"),
    "the kernel": lambda _, patch: patch.setattr(platform, "kernel", lambda: (6, 1)),
    "libseccomp": lambda _, patch: patch.setattr(libseccomp_version, "loaded", lambda: OLDER),
    "the program": lambda _, patch: patch.setattr(policy_proof, "__file__", __file__),
    "a rule has ended": lambda _, patch: patch.setattr(
        rule_checks, "ends", lambda _: dt.datetime.now(dt.UTC).timestamp() - 600
    ),
    "a compiled profile is gone": lambda node, _: _compiled_profile(node).unlink(),
    "a compiled profile is damaged": lambda node, _: _compiled_profile(node).write_text("{}"),
    "nobody can read one": lambda node, _: _compiled_profile(node).chmod(0o600),
}


def _prints(node: Node, words: str) -> None:
    machine.fake(node.programs, words.partition(" ")[0], f"echo {words}")


def _compiled_profile(node: Node) -> Path:
    return next(node.places.current.glob("profiles/localhost%2Fone.json*"))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_policy_is_compiled_anew_only_if_something_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., object]
) -> None:
    ctl.prove_once(monkeypatch)
    node = ctl.node(tmp_path, monkeypatch)
    node.configure(RULE, one=PROFILE)
    printed, before = node.ctl("apply", status=0).output, node.places.current.readlink()
    assert node.ctl("apply", status=0).output == printed
    assert node.json("apply") == {**node.json("apply", "--check"), "in_force": True}
    assert node.places.current.readlink() == before
    change(node, monkeypatch)
    node.ctl("apply", status=0)
    assert node.places.current.readlink() != before


def test_an_apply_that_changes_nothing_reads_the_compiled_files_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = ctl.node(tmp_path, monkeypatch)
    node.apply(RULE)
    digest = Mock(wraps=policy_store._digest)  # noqa: SLF001 - it reads them
    monkeypatch.setattr(policy_store, "_digest", digest)
    node.ctl("apply", status=0)
    digest.assert_called_once_with(node.places.current)


def test_a_policy_that_another_apply_replaces_meanwhile_is_not_called_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = ctl.node(tmp_path, monkeypatch)
    node.apply(RULE)

    def another(*_: object) -> None:
        monkeypatch.setattr(installed_programs, "check_switch", lambda *_: None)
        node.apply('on_error = "run-unmodified"\n').configure(RULE)

    monkeypatch.setattr(installed_programs, "check_switch", another)
    assert "run it again" in node.failure("apply")
    node.ctl("apply", status=0)
    assert json.loads((node.places.current / "policy.json").read_text())["on_error"] == "refuse"
