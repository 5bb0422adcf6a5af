"""doctor on the annotations that containerd passes on."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from runc_wrap.doctor import engine_checks
from tests.unit.cli import ctl
from tests.unit.node import machine

OLD, NEW = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"


@pytest.fixture(autouse=True)
def _launcher(node: ctl.Node) -> None:
    machine.fake(node.places.wrapper.parent, "runc-wrap", "true")
    (node.places.wrapper.parent / "strict").symlink_to("runc-wrap")


def _containerd(node: ctl.Node, plugin: str, binary: Path, kind: str, given: Sequence[str]) -> None:
    """Simulate a containerd whose configuration in force has one handler."""
    table = f'plugins."{plugin}".containerd.runtimes.h'
    options = f"[{table}.options]\nBinaryName = '{binary}'\n"
    dumped = f"[{table}]\n{kind} = {json.dumps(given)}\n{options}"
    (node.programs / "dumped").write_text(dumped)
    machine.fake(node.programs, "containerd", f"cat {node.programs}/dumped")


@pytest.mark.parametrize("plugin", [OLD, NEW])
@pytest.mark.parametrize("kind", ["pod_annotations", "container_annotations"])
@pytest.mark.parametrize("name", ["runc-wrap", "strict"])
def test_a_pattern_that_passes_on_the_cri_plugins_own_annotations_is_a_warning(
    node: ctl.Node, plugin: str, kind: str, name: str
) -> None:
    binary = node.places.wrapper.with_name(name)
    _containerd(node, plugin, binary, kind, ["runc-wrap/*", "*"])
    (found,) = engine_checks.passed_on(node.places)
    assert found.severity == "warning"
    assert f"{kind} of its handler h have '*'" in found.sentence
    assert "io.kubernetes.cri.container-type" in found.sentence
    assert "runc-wrap/*" in found.remedy


def test_nothing_is_said_of_other_patterns_runtimes_and_containerds(node: ctl.Node) -> None:
    assert list(engine_checks.passed_on(node.places)) == []
    given = ["runc-wrap/*", "seccomp.security.alpha.kubernetes.io/*", "*/*"]  # of `engine add`
    for binary, patterns in ((node.places.wrapper, given), (node.programs / "runc", ["*"])):
        _containerd(node, OLD, binary, "pod_annotations", patterns)
        assert list(engine_checks.passed_on(node.places)) == []
    for silent in ("exit 1", "echo '['"):
        machine.fake(node.programs, "containerd", silent)
        assert list(engine_checks.passed_on(node.places)) == []


def test_the_configuration_with_the_registered_handler_is_checked(node: ctl.Node) -> None:
    _containerd(node, OLD, node.places.wrapper, "pod_annotations", ["*"])
    dumped = node.programs / "dumped"
    machine.fake(node.programs, "containerd", f'[ "$2" = /own.toml ] && cat {dumped}')
    assert list(engine_checks.passed_on(node.places)) == []
    node.places.engines.mkdir(parents=True)
    state = machine.registered("/own.toml")
    (node.places.engines / "containerd-0.json").write_text(json.dumps(state))
    assert len(list(engine_checks.passed_on(node.places))) == 1


MATCHING = "* io.kubernetes.cri.image-name,*/* a/b,io.kubernetes.* io.kubernetes.cri.image-name,"
MATCHING += "io?kubernetes.cri.image-name io.kubernetes.cri.image-name,a[x-z]b ayb,a[^x-z]b aab, "
OTHERS = "*/* ab,a.b axb,a[^x-z]b ayb,a[z-x]b ayb, a"


@pytest.mark.parametrize("passes", [True, False])
def test_patterns_match_like_containerds(*, passes: bool) -> None:
    """Each as Go's path.Match has it."""
    pairs = [one.split(" ") for one in (MATCHING if passes else OTHERS).split(",")]
    wrong = [one for one in pairs if engine_checks.matches(one[0], one[1]) is not passes]
    assert wrong == []
