"""doctor: every finding says what to do."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runc_wrap import doctor
from runc_wrap.doctor import remedies
from runc_wrap.node.paths import Places
from tests.unit.node import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cli.ctl import Node

FOLDER = Path(doctor.__file__).parent
REMEDY = 3  # its place among the arguments of Finding


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="Finding")):
                    yield f"{path.name}:{node.lineno}", node


@pytest.mark.parametrize(("where", "call"), [*_calls()])
def test_every_finding_of_the_code_is_given_a_remedy(where: str, call: ast.Call) -> None:
    given = call.args[REMEDY : REMEDY + 1]
    assert given, where
    assert not [each for each in given if isinstance(each, ast.Constant) and not each.value], where


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


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("/opt/runc-wrap", "run `./install.sh` again"),
        ("/srv/a b", "run `./install.sh --prefix '/srv/a b'` again"),
        ("/usr/lib/runc-wrap", "install the package runc-wrap again"),
    ],
)
def test_what_is_damaged_is_installed_again_as_its_owner_installed_it(
    prefix: str, words: str
) -> None:
    assert remedies.install_again(Places(Path(prefix))).startswith(words)
