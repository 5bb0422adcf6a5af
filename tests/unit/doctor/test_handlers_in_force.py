"""doctor on handlers that an engine does not know."""

from pathlib import Path

import pytest

from runc_wrap.doctor import engine_checks
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.containerd.loaded_files import NEW_CRI
from tests.unit.cli.ctl import Node
from tests.unit.doctor.conftest import register
from tests.unit.node import machine

NEW = f'[plugins."{NEW_CRI}".containerd.runtimes'


def _tables(name: str, binary: Path) -> str:
    return f"version = 3\n{NEW}.{name}.options]\nBinaryName = '{binary}'\n"


@pytest.fixture
def config(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual configuration of a containerd that dumps `dumped` in the programs' directory."""
    machine.fake(node.places.wrapper.parent, "runc-wrap", "true")
    version = '[ "$1" = --version ] && { echo containerd v2.2.0; exit; }'
    machine.fake(node.programs, "containerd", f"{version}; cat {node.programs}/dumped")
    path = tmp_path / "etc" / "config.toml"
    (path.parent / "conf.d").mkdir(parents=True)
    path.write_text("version = 3\n")
    monkeypatch.setattr(Containerd, "usual", path)
    (node.programs / "dumped").write_text("version = 3\n")
    return path


def test_a_handler_that_containerd_does_not_show_is_a_warning(node: Node, config: Path) -> None:
    path = register(node, config, default=True)
    [found] = engine_checks.handlers(node.places)
    assert (found.severity, found.fix) == ("warning", None)
    told = f"containerd does not show the handler runc-wrap, which is registered in {config}"
    assert told in found.sentence
    add = f"engine add containerd --handler runc-wrap --config {config} --default"
    assert found.command.endswith(f"{add} && systemctl restart containerd")
    (node.programs / "dumped").write_text(_tables("runc-wrap", path))
    assert list(engine_checks.handlers(node.places)) == []


def test_a_configuration_that_containerd_cannot_read_is_an_error(node: Node, config: Path) -> None:
    register(node, config)
    (node.programs / "dumped").unlink()
    [found] = engine_checks.handlers(node.places)
    assert (found.severity, "would not start again" in found.sentence) == ("error", True)
    assert found.command == f"containerd -c {config} config dump"
    (node.programs / "containerd").unlink()  # of one that is not installed nothing is said
    assert list(engine_checks.handlers(node.places)) == []


NAMED = [("runc-wrap", False, True), ("runc-wrap", True, False), ("runc", False, False)]


@pytest.mark.parametrize(("named", "imported", "is_found"), NAMED)
def test_a_drop_in_that_nothing_imports_is_a_warning_if_it_names_our_launcher(
    node: Node, config: Path, *, named: str, imported: bool, is_found: bool
) -> None:
    drop_in = config.parent / "conf.d" / "own.toml"
    drop_in.write_text(_tables("mine", node.places.wrapper.with_name(named)))
    if imported:
        (node.programs / "dumped").write_text(drop_in.read_text())
    found = list(engine_checks.handlers(node.places))
    assert [each.severity for each in found] == ["warning"] * is_found
    told = f"{drop_in} defines the handler mine, but {config} does not import it"
    assert [each.sentence for each in found] == [told] * is_found
    assert all(f'imports = ["{config.parent}/conf.d/*.toml"]' in each.remedy for each in found)


@pytest.mark.parametrize("text", ["[", "x = 1\n", f'{NEW}.a]\noptions = "x"\n', "\udcff"])
def test_another_drop_in_is_no_finding(node: Node, config: Path, text: str) -> None:
    drop_in = config.parent / "conf.d" / "own.toml"
    drop_in.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert list(engine_checks.handlers(node.places)) == []


def test_a_damaged_record_of_a_registration_is_a_warning(node: Node, config: Path) -> None:
    register(node, config)
    (node.places.engines / "containerd-0.json").write_text("{")
    [found] = engine_checks.handlers(node.places)
    assert (found.severity, "containerd-0.json" in found.sentence) == ("warning", True)


@pytest.fixture
def strict(node: Node, config: Path) -> Path:
    """The path of a handler that containerd shows; nothing is there."""
    path = register(node, config, "strict")
    (node.programs / "dumped").write_text(_tables("strict", path))
    return path


@pytest.mark.parametrize("target", ["runc-wrap", "{bin}/runc-wrap", "{bin}/other"])
def test_a_link_that_leads_to_the_launcher_is_well(node: Node, strict: Path, target: str) -> None:
    strict.with_name("other").symlink_to("runc-wrap")
    strict.symlink_to(target.format(bin=strict.parent))
    assert list(engine_checks.handlers(node.places)) == []
    node.places.wrapper.unlink()  # that is another check's
    assert list(engine_checks.handlers(node.places)) == []


@pytest.mark.parametrize("target", ["", "/bin/true", None])
def test_the_command_makes_the_link_unless_a_file_is_there_that_root_has_to_mend(
    node: Node, strict: Path, target: str | None
) -> None:
    if target is None:
        machine.fake(strict.parent, "strict", "true")
    elif target:
        strict.symlink_to(target)
    [found] = engine_checks.handlers(node.places)
    assert (found.fix is None) == (target is None)
    if target is None:
        assert f"as its handler strict, leads to {strict}, without runc-wrap" in found.sentence
    else:
        assert found.command == f"ln -sfn runc-wrap {strict}"
