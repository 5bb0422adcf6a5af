"""doctor: every finding says what to do; what is safely mended is found, mended, and then gone."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.doctor import remedies
from runc_wrap.node.paths import Places
from tests.unit.cli.ctl import Node
from tests.unit.doctor.conftest import register
from tests.unit.node import machine


def test_a_command_of_this_installation_has_its_path_unless_the_bare_name_is_it(node: Node) -> None:
    places = node.places
    own = machine.fake(places.prefix / "bin", "runc-wrapctl", "true")
    assert remedies.ctl(places, "apply") == f"{own} apply"
    (node.programs / "runc-wrapctl").symlink_to(own)
    assert remedies.ctl(places, "apply") == "runc-wrapctl apply"
    machine.fake(node.programs / "other", "runc-wrapctl", "true")
    (node.programs / "runc-wrapctl").unlink()
    (node.programs / "runc-wrapctl").symlink_to(node.programs / "other" / "runc-wrapctl")
    assert remedies.ctl(places, "apply") == f"{own} apply"


def test_paths_are_quoted_for_the_shell() -> None:
    edited = remedies.edit(Path("/a b/$(x).toml"), "true")
    assert edited == "${EDITOR:-vi} '/a b/$(x).toml' && true"
    assert shlex.split(remedies.line("rm", "-f", "/a b"))[-1] == "/a b"


AGAIN = {
    "/opt/runc-wrap": "run `./install.sh` again",
    "/srv/a b": "run `./install.sh --prefix '/srv/a b'` again",
    "/usr/lib/runc-wrap": "install the package runc-wrap again",
}


@pytest.mark.parametrize("prefix", AGAIN)
def test_what_is_damaged_is_installed_again_as_its_owner_did(prefix: str) -> None:
    assert remedies.install_again(Places(Path(prefix))).startswith(AGAIN[prefix])


def _well(node: Node) -> Node:
    machine.fake(node.places.wrapper.parent, "runc-wrap", "true")
    return node.apply("")


def _register(node: Node) -> Path:
    """Write the record of a handler whose engine is not installed."""
    return register(node, Path("/x"), "strict")


def _hand_over(node: Node) -> None:
    _register(node).symlink_to(node.programs / "runc")


# what is found -> what has been done to the node
FIXABLE: dict[str, Callable[[Node], object]] = {
    "there is no compiled policy": lambda node: node.places.current.unlink(),
    '"moby"': lambda node: (node.places.current / "profiles" / "moby+enforce.json").unlink(),
    "config.toml has changed since": lambda node: node.configure("on_error = 'run-unmodified'"),
    "and is now": lambda node: machine.fake(node.programs, "runc", "echo runc version 1.2.4"),
    "runtime-default of containerd is":
        lambda node: machine.fake(node.programs, "containerd", "echo containerd v1.7.24"),
    "cannot be executed (mode 0644)": lambda node: node.places.wrapper.chmod(0o644),
    "runc-wrap can be written by everybody": lambda node: node.places.wrapper.chmod(0o777),
    "what ran here, can be opened by others": lambda node: node.places.ledger.mkdir(mode=0o755),
    "as its handler strict, does not exist": _register,
    "as its handler strict, leads to": _hand_over,
    "var can be written by everybody": lambda node: node.places.var.chmod(0o777),
}  # fmt: skip


def _found(node: Node, words: str, *options: str) -> list[Any]:
    document = json.loads(node.ctl("doctor", "--json", *options).stdout)
    assert all(each["remedy"] for each in document["findings"])
    return [each for each in document["findings"] if words in each["sentence"]]


@pytest.mark.parametrize("words", FIXABLE)
def test_each_fixable_finding_is_found_then_mended_then_gone(node: Node, words: str) -> None:
    damage = FIXABLE[words]
    _well(node)
    assert _found(node, words) == []
    damage(node)
    [finding] = _found(node, words)
    assert finding["fixable"] is True
    assert words in node.ctl("doctor", "--fix", "--dry-run").stdout
    assert _found(node, words) == [finding], "--dry-run mended it"
    document = json.loads(node.ctl("doctor", "--fix", "--json").stdout)
    [mended] = [each for each in document["mended"] if words in each["sentence"]]
    assert (mended["command"], mended["failure"]) == (finding["command"], "")
    assert not [each for each in document["findings"] if words in each["sentence"]]
    assert _found(node, words) == []


def test_a_fix_that_fails_says_why_and_the_finding_stays(node: Node) -> None:
    _well(node).configure("on_error = 'no'")
    result = node.ctl("doctor", "--fix", status=1)
    assert "not mended: config.toml has changed since" in result.stdout
    assert "on_error is 'no'" in result.stdout
    assert "\nwarning: config.toml has changed since" in result.stdout


def test_a_file_of_another_user_is_not_changed(node: Node, tmp_path: Path) -> None:
    other = tmp_path / "others.json"
    other.write_text("{}")
    other.chmod(0o666)
    _well(node)
    node.places.profiles.mkdir(parents=True, exist_ok=True)
    (node.places.profiles / "shared.json").symlink_to(other)
    assert _found(node, str(other), "--fix")
    assert other.stat().st_mode & 0o777 == 0o666


def test_a_dry_run_without_fix_is_refused(node: Node) -> None:
    assert "give both" in node.failure("doctor", "--dry-run")
