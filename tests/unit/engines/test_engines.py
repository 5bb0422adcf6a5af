"""Where engines are found, how each is checked and told, and what it is read to have in force.

An engine's name stands in its own room, in host/engine_names and in the hot path's tables.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import runc_wrap
from runc_wrap.engines import engine_registry
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.crio.crio_engine import Crio
from runc_wrap.engines.docker.docker_engine import Docker
from runc_wrap.engines.engine_class import Engine
from runc_wrap.engines.handler import Handler
from runc_wrap.host import engine_names
from runc_wrap.hotpath import container_identity, privileged
from tests.unit.node import machine

OLD, NEW = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
TEMPLATE = Path("/var/snap/microk8s/current/args/containerd-template.toml")
RANCHER = "var/lib/rancher/{}/agent/etc/containerd/config.toml"
MICROK8S = "microk8s.daemon-containerd"
SNAP = "/var/snap/microk8s/common/run"


def _printing(programs: Path, name: str, printed: str, status: int = 0) -> Path:
    return machine.fake(programs, name, f"/bin/cat <<'END'\n{printed}\nEND\nexit {status}")


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _detected(name: str, root: Path) -> list[Engine]:
    return [*engine_registry.ENGINES[name].detect(root)]


DISTRIBUTIONS = [
    ("k3s", RANCHER.format("k3s"), "k3s-agent", "/run/k3s/containerd/containerd.sock"),
    ("rke2", RANCHER.format("rke2"), "rke2-agent", "/run/k3s/containerd/containerd.sock"),
    ("k0s", "etc/k0s/containerd.toml", "k0sworker", "/run/k0s/containerd.sock"),
    ("microk8s", str(TEMPLATE)[1:], f"snap.{MICROK8S}", f"{SNAP}/containerd.sock"),
]


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(("flavour", "evidence", "unit", "expected"), DISTRIBUTIONS)
def test_a_distributions_containerd_is_found_with_its_own_unit_and_socket(
    flavour: str, evidence: str, unit: str, expected: str, tmp_path: Path
) -> None:
    assert _detected("containerd", tmp_path) == []
    _file(tmp_path / evidence)
    _file(tmp_path / f"etc/systemd/system/{unit}.service")
    (found,) = _detected("containerd", tmp_path)
    assert (found.flavour, found.unit, str(found.socket)) == (flavour, f"{unit}.service", expected)
    assert str(found.config) == f"/{evidence}"
    assert found.reload() == ("none" if flavour == "k0s" else "restart")
    advised = "nothing to restart" if flavour == "k0s" else f"systemctl restart {unit}"
    assert advised in Containerd.at(found.config, tmp_path).reload_command()


def test_a_node_with_docker_and_k3s_has_two_containerds(programs: Path, tmp_path: Path) -> None:
    printed = "containerd github.com/containerd/containerd 1.7.24 x"
    binary = _printing(programs, "containerd", printed)
    _file(tmp_path / RANCHER.format("k3s"))
    own, brought = _detected("containerd", tmp_path)
    assert (own.flavour, own.version, own.binary) == ("", "1.7.24", binary)
    assert (brought.flavour, brought.binary) == ("k3s", None)


CHECKS = [
    (Containerd, "config default", "-c {0} config dump"),
    (Docker, "--validate", "--validate --config-file={0}"),
    (Crio, "--config-dir {0}.d config", "--config {0} --config-dir {0}.d config"),
]


@pytest.mark.parametrize(("kind", "by_default", "words"), CHECKS)
def test_the_engine_itself_checks_its_configuration(
    kind: type[Engine], by_default: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the file at the usual place only if there is one: else some fail, or know no such file."""
    usual, other, binary = (tmp_path / name for name in ("usual", "other", "program"))
    monkeypatch.setattr(kind, "usual", usual)
    assert kind(usual).check_command() is None
    for config, said in ((usual, by_default), (other, words)):
        assert kind(config, binary).check_command() == [str(binary), *said.format(config).split()]
    usual.touch()
    assert kind(usual, binary).check_command() == [str(binary), *words.format(usual).split()]


def test_microk8s_is_asked_for_the_file_that_its_template_becomes(tmp_path: Path) -> None:
    command = Containerd(TEMPLATE, tmp_path / "c", flavour="microk8s").check_command()
    assert command is not None
    assert command[2] == "/var/snap/microk8s/current/args/containerd.toml"


def _dump(plugin: str) -> str:
    of_handler = f"[plugins.'{plugin}'.containerd.runtimes"
    return (
        f"version = 2\n{of_handler}.runc.options]\nSystemdCgroup=true\n"
        f"{of_handler}.x]\nruntime_type='io.x.v1'\n{of_handler}.ours.options]\nBinaryName='/o'\n"
    )


OF_DUMP = {"runc": "", "x": "", "ours": "/o"}
OF_CRIO = "[crio.runtime.runtimes.crun]\nruntime_path = '/c'\n[crio.runtime.runtimes.kata]\n"
OF_DOCKER = {"runc": {"path": "runc"}, "x": {"path": "/x"}, "shim": {"runtimeType": "io.x"}}
PRINTED: list[tuple[str, str, int, dict[str, str] | None]] = [
    ("containerd", _dump(OLD), 0, OF_DUMP),
    ("containerd", _dump(NEW), 0, OF_DUMP),
    ("crio", OF_CRIO, 0, {"crun": "/c", "kata": ""}),
    ("docker", json.dumps([None, OF_DOCKER]), 0, {"runc": "runc", "x": "/x", "shim": ""}),
    *((name, "not = toml = ", 0, None) for name in ("containerd", "crio", "podman")),
    *((name, "version = 2", 1, None) for name in ("containerd", "crio", "podman")),
]


@pytest.mark.parametrize(("engine", "printed", "status", "found"), PRINTED)
def test_the_handlers_in_force_are_those_that_the_engine_prints(
    programs: Path, engine: str, printed: str, status: int, found: dict[str, str] | None
) -> None:
    kind = engine_registry.ENGINES[engine]
    assert kind(kind.usual, _printing(programs, engine, printed, status)).in_force() == found


SOCKETS = [
    (Containerd, "version = 3\n[grpc]\naddress = '/own'\n", "/own"),
    (Containerd, "[plugins.'io.containerd.server.v1.grpc']\naddress = '/own'\n", "/own"),
    (Containerd, "version = 2\n", "/run/containerd/containerd.sock"),
    (Containerd, "no TOML", "/run/containerd/containerd.sock"),
    (Crio, "[crio.api]\nlisten = '/own'", "/own"),
    (Crio, "no TOML", "/run/crio/crio.sock"),
]


@pytest.mark.parametrize(("kind", "printed", "socket"), SOCKETS)
def test_an_engine_answers_where_its_own_configuration_says(
    kind: type[Containerd | Crio], printed: str, socket: str, programs: Path, tmp_path: Path
) -> None:
    _printing(programs, kind.names.program, printed)
    assert str(kind.at(tmp_path / "config").answers_at()) == socket


FLAGS = [
    ("", "/usual/c.sock", "/usual"),
    ("k3s", "/usual/c.sock", "/usual"),
    ("k0s", "/run/k0s/containerd.sock", "/run/k0s/containerd"),
    ("microk8s", f"{SNAP}/containerd.sock", f"{SNAP}/containerd"),
]


@pytest.mark.parametrize(("flavour", "socket", "state"), FLAGS)
def test_a_flag_counts_and_not_what_a_dump_shows(flavour: str, socket: str, state: str) -> None:
    """A dump shows the usual places if the configuration names none."""
    dumped = {"grpc": {"address": "/usual/c.sock"}, "state": "/usual"}
    found = Containerd(Path("/config.toml"), None, flavour=flavour)
    assert str(found.answers_at(dumped)) == socket
    assert str(found.state(dumped)) == state


VALIDATED = [
    ("26.1.5", "true", ""),
    ("26.1.5", "false", "docker refuses its files: "),
    ("20.10.24", "echo unknown flag >&2; false", ""),
]


@pytest.mark.parametrize(("version", "validate", "problem"), VALIDATED)
def test_dockerd_is_asked_about_the_new_file_if_it_can_check_one(
    programs: Path, version: str, validate: str, problem: str
) -> None:
    says = f"[ $1 = --validate ] || exec echo Docker version {version}, build x"
    machine.fake(programs, "dockerd", f"{says}\n{validate}")
    handler = Handler("runc-wrap", "/opt/runc-wrap/bin/runc-wrap")
    said = Docker.at(Docker.usual).problem(handler, {})
    assert said.startswith(problem)
    assert bool(said) is bool(problem)
    found = Docker(Docker.usual)
    assert (found.reload(), found.reload(loses_default=True)) == ("reload", "restart")


ROOT = Path(runc_wrap.__file__).parent
KINDS = engine_registry.ENGINES.values()
ROOMS = tuple(f"engines/{kind.__module__.split('.')[2]}/" for kind in KINDS)
TABLES = ("host/engine_names.py", "hotpath/container_identity.py", "hotpath/privileged.py")
WORDS = {
    word
    for each in engine_names.KNOWN.values()
    for word in (each.name, each.program, each.kubelet, each.profile)
    if word not in ("", engine_names.COMMON)
}


def _texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            text = node.value
            yield text if isinstance(text, str) else text.decode(errors="replace")


def test_no_other_module_names_an_engine() -> None:
    found = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if WORDS & {*_texts(path)}}
    assert {each for each in found if not each.startswith(ROOMS)} == {*TABLES}


def test_the_hot_path_names_only_known_engines() -> None:
    known = engine_names.KNOWN.keys()
    assert {*container_identity._MANAGERS.values(), *privileged._MARKS} <= known  # noqa: SLF001
    assert known <= {*_texts(Path(container_identity.__file__))}
