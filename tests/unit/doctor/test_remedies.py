"""doctor: every finding says what to do; what is safely mended is found, mended, and then gone."""

import ast
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runc_wrap import doctor
from runc_wrap.doctor import remedies
from runc_wrap.node.paths import Places
from tests.unit.cli.ctl import Node
from tests.unit.node import machine

FOLDER = Path(doctor.__file__).parent
REMEDY = {"error": 1, "warning": 1, "note": 1, "made": 1, "Finding": 2}  # its place in a call


def _remedies() -> Iterator[tuple[str, ast.expr]]:
    for path in sorted(FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in REMEDY:
                    yield f"{path.name}:{node.lineno}", node.args[REMEDY[name]]


@pytest.mark.parametrize(("where", "remedy"), [*_remedies()])
def test_every_finding_of_the_code_is_given_a_remedy(where: str, remedy: ast.expr) -> None:
    assert not isinstance(remedy, ast.Constant) or remedy.value, where


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


def _well(node: Node) -> Node:
    machine.fake(node.places.wrapper.parent, "runc-wrap", "true")
    assert node.ctl("apply").exit_code == 0
    return node


def _register(node: Node, name: str) -> None:
    """Write the record of a handler whose engine is not installed, and no link."""
    path = node.places.wrapper.with_name(name)
    handler = {"name": name, "path": str(path), "default": False}
    state = machine.registered("/x", handler)
    node.places.engines.mkdir()
    (node.places.engines / "containerd-0.json").write_text(json.dumps(state))


def _hand_over(node: Node, name: str) -> None:
    _register(node, name)
    node.places.wrapper.with_name(name).symlink_to(node.programs / "runc")


# what is found -> what has been done to the node
FIXABLE: dict[str, Callable[[Node], object]] = {
    "there is no compiled policy": lambda node: node.places.current.unlink(),
    '"moby"': lambda node: (node.places.current / "profiles" / "moby+enforce.json").unlink(),
    "config.toml has changed since": lambda node: node.configure("on_error = 'run-unmodified'"),
    "and is now": lambda node: machine.fake(node.programs, "runc", "echo runc version 1.2.4"),
    "runtime-default of containerd is": lambda node: machine.fake(
        node.programs, "containerd", "echo containerd v1.7.24"
    ),
    "cannot be executed (mode 0644)": lambda node: node.places.wrapper.chmod(0o644),
    "runc-wrap can be written by everybody": lambda node: node.places.wrapper.chmod(0o777),
    "what ran here, can be opened by others": lambda node: node.places.ledger.mkdir(mode=0o755),
    "as its handler strict, does not exist": lambda node: _register(node, "strict"),
    "as its handler strict, leads to": lambda node: _hand_over(node, "strict"),
    "var can be written by everybody": lambda node: node.places.var.chmod(0o777),
}


def _sentences(node: Node, *words: str) -> list[str]:
    document = json.loads(node.ctl("doctor", "--json", *words).stdout)
    return [each["sentence"] for each in document["findings"]]


@pytest.mark.parametrize("words", FIXABLE)
def test_each_fixable_finding_is_found_then_mended_then_gone(node: Node, words: str) -> None:
    damage = FIXABLE[words]
    _well(node)
    assert not [each for each in _sentences(node) if words in each]
    damage(node)
    found = json.loads(node.ctl("doctor", "--json").stdout)["findings"]
    [finding] = [each for each in found if words in each["sentence"]]
    assert finding["fixable"] is True
    assert words in node.ctl("doctor", "--fix", "--dry-run").stdout
    assert [each for each in _sentences(node) if words in each], "--dry-run mended it"
    document = json.loads(node.ctl("doctor", "--fix", "--json").stdout)
    [mended] = [each for each in document["mended"] if words in each["sentence"]]
    assert (mended["command"], mended["failure"]) == (finding["command"], "")
    assert not [each for each in document["findings"] if words in each["sentence"]]
    assert not [each for each in _sentences(node) if words in each]


def test_a_fix_that_fails_says_why_and_the_finding_stays(node: Node) -> None:
    _well(node).configure("on_error = 'no'")
    result = node.ctl("doctor", "--fix")
    assert result.exit_code == 1
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
    assert [each for each in _sentences(node, "--fix") if str(other) in each]
    assert other.stat().st_mode & 0o777 == 0o666


def test_the_var_of_a_package_which_lies_elsewhere_is_closed(node: Node, tmp_path: Path) -> None:
    _well(node)
    node.places.var.rename(tmp_path / "elsewhere")
    node.places.var.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").chmod(0o777)
    words = f"{tmp_path}/elsewhere can be written by everybody"
    assert [each for each in _sentences(node) if words in each]
    assert not [each for each in _sentences(node, "--fix") if words in each]


def test_a_dry_run_without_fix_is_refused(node: Node) -> None:
    assert "give both" in node.failure("doctor", "--dry-run")
