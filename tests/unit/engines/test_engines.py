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
from runc_wrap.host import engine_names, program
from runc_wrap.hotpath import container_identity, privileged
from tests.unit.node import machine

OLD, NEW = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
TEMPLATE = Path("/var/snap/microk8s/current/args/containerd-template.toml")
RANCHER = "var/lib/rancher/{}/agent/etc/containerd/config.toml"
SNAP = "/var/snap/microk8s/common/run"


@pytest.fixture(autouse=True)
def _empty_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(program, "FIXED_PATH", (str(tmp_path / "bin"),))
    (tmp_path / "bin").mkdir()


def _program(path: Path, printed: str, status: int = 0) -> Path:
    """Put a program at `path` that prints its words to `path`.words, then `printed`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> {path}.words\ncat <<'END'\n{printed}\nEND\n"
        f"exit {status}\n"
    )
    path.chmod(0o755)
    return path


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _detected(name: str, root: Path) -> list[Engine]:
    return [*engine_registry.ENGINES[name].detect(root)]


@pytest.mark.parametrize(
    ("flavour", "evidence", "unit", "expected"),
    [
        ("k3s", RANCHER.format("k3s"), "k3s-agent", "/run/k3s/containerd/containerd.sock"),
        ("rke2", RANCHER.format("rke2"), "rke2-agent", "/run/k3s/containerd/containerd.sock"),
        ("k0s", "etc/k0s/containerd.toml", "k0sworker", "/run/k0s/containerd.sock"),
        (
            "microk8s",
            str(TEMPLATE)[1:],
            "snap.microk8s.daemon-containerd",
            f"{SNAP}/containerd.sock",
        ),
    ],
)
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


def test_a_node_with_docker_and_k3s_has_two_containerds(tmp_path: Path) -> None:
    _program(tmp_path / "bin/containerd", "containerd github.com/containerd/containerd 1.7.24 x")
    _file(tmp_path / RANCHER.format("k3s"))
    own, brought = _detected("containerd", tmp_path)
    assert (own.flavour, own.version, own.binary) == ("", "1.7.24", tmp_path / "bin/containerd")
    assert (brought.flavour, brought.binary) == ("k3s", None)


@pytest.mark.parametrize(
    ("kind", "by_default", "words"),
    [
        (Containerd, "config default", "-c {0} config dump"),
        (Docker, "--validate", "--validate --config-file={0}"),
        (Crio, "--config-dir {0}.d config", "--config {0} --config-dir {0}.d config"),
    ],
)
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


@pytest.mark.parametrize("plugin", [OLD, NEW])
def test_containerds_handlers_are_read_from_its_dump(plugin: str, tmp_path: Path) -> None:
    dump = (
        f"version = 2\n[plugins.'{plugin}'.containerd.runtimes.runc.options]\nSystemdCgroup=true\n"
        f"[plugins.'{plugin}'.containerd.runtimes.x]\nruntime_type='io.x.v1'\n"
        f"[plugins.'{plugin}'.containerd.runtimes.ours.options]\nBinaryName='/bin/ours'\n"
    )
    binary = _program(tmp_path / "bin/containerd", dump)
    expected = {"runc": "", "x": "", "ours": "/bin/ours"}
    assert Containerd(Path("/c"), binary).in_force() == expected


@pytest.mark.parametrize(("printed", "status"), [("not = toml = ", 0), ("version = 2", 1)])
def test_an_engine_that_prints_no_configuration_has_nothing_known_in_force(
    printed: str, status: int, tmp_path: Path
) -> None:
    for engine, name in (("containerd", "containerd"), ("crio", "crio"), ("podman", "podman")):
        binary = _program(tmp_path / "bin" / name, printed, status)
        kind = engine_registry.ENGINES[engine]
        assert kind(kind.usual, binary).in_force() is None


def test_cri_o_is_asked_with_the_drop_ins_beside_its_configuration(tmp_path: Path) -> None:
    printed = "[crio.runtime]\ndefault_runtime = 'crun'\n[crio.runtime.runtimes.crun]\n"
    printed += "runtime_path = '/usr/bin/crun'\n[crio.runtime.runtimes.kata]\nruntime_type = 'vm'\n"
    binary = _program(tmp_path / "bin/crio", printed)
    found = Crio(Path("/etc/crio/crio.conf"), binary)
    assert found.in_force() == {"crun": "/usr/bin/crun", "kata": ""}
    words = Path(f"{binary}.words").read_text()
    assert "--config-dir /etc/crio/crio.conf.d" in words


def test_what_cri_o_comments_out_is_not_read(tmp_path: Path) -> None:
    printed = "# [crio.runtime.runtimes.x]\n# runtime_path = '/x'\n"
    binary = _program(tmp_path / "bin/crio", printed)
    assert Crio(Crio.usual, binary).in_force() == {}


def test_dockers_runtimes_are_those_of_the_daemon(tmp_path: Path) -> None:
    runtimes = {"runc": {"path": "runc"}, "x": {"path": "/x"}, "shim": {"runtimeType": "io.x"}}
    _program(tmp_path / "bin/docker", json.dumps([None, runtimes]))
    found = Docker(Path("/c"))
    assert found.in_force() == {"runc": "runc", "x": "/x", "shim": ""}
    assert (found.reload(), found.reload(loses_default=True)) == ("reload", "restart")


@pytest.mark.parametrize(
    ("kind", "printed", "socket"),
    [
        (Containerd, "version = 3\n[grpc]\naddress = '/own'\n", "/own"),
        (Containerd, "[plugins.'io.containerd.server.v1.grpc']\naddress = '/own'\n", "/own"),
        (Containerd, "version = 2\n", "/run/containerd/containerd.sock"),
        (Containerd, "no TOML", "/run/containerd/containerd.sock"),
        (Crio, "[crio.api]\nlisten = '/own'", "/own"),
        (Crio, "no TOML", "/run/crio/crio.sock"),
    ],
)
def test_an_engine_answers_where_its_own_configuration_says(
    kind: type[Containerd | Crio], printed: str, socket: str, tmp_path: Path
) -> None:
    _program(tmp_path / "bin" / kind.names.program, printed)
    assert str(kind.at(tmp_path / "config").answers_at()) == socket


@pytest.mark.parametrize(
    ("flavour", "socket", "state"),
    [
        ("", "/usual/c.sock", "/usual"),
        ("k3s", "/usual/c.sock", "/usual"),
        ("k0s", "/run/k0s/containerd.sock", "/run/k0s/containerd"),
        ("microk8s", f"{SNAP}/containerd.sock", f"{SNAP}/containerd"),
    ],
)
def test_a_flag_counts_and_not_what_a_dump_shows_instead(
    flavour: str, socket: str, state: str
) -> None:
    """A dump shows the usual places if the configuration names none."""
    dumped = {"grpc": {"address": "/usual/c.sock"}, "state": "/usual"}
    found = Containerd(Path("/config.toml"), None, flavour=flavour)
    assert str(found.answers_at(dumped)) == socket
    assert str(found.state(dumped)) == state


@pytest.mark.parametrize(
    ("version", "validate", "problem"),
    [
        ("26.1.5", "true", ""),
        ("26.1.5", "false", "docker refuses its files: "),
        ("20.10.24", "echo unknown flag >&2; false", ""),
    ],
    ids=["fine", "refused", "cannot check"],
)
def test_dockerd_is_asked_about_the_new_file_if_it_can_check_one(
    tmp_path: Path, version: str, validate: str, problem: str
) -> None:
    says = f"[ $1 = --validate ] || exec echo Docker version {version}, build x"
    machine.fake(tmp_path / "bin", "dockerd", f"{says}\n{validate}")
    handler = Handler("runc-wrap", "/opt/runc-wrap/bin/runc-wrap")
    assert Docker.at(Docker.usual).problem(handler, {}).startswith(problem)
    assert bool(Docker.at(Docker.usual).problem(handler, {})) is bool(problem)


ROOT = Path(runc_wrap.__file__).parent
ROOMS = tuple(
    f"engines/{kind.__module__.split('.')[2]}/" for kind in engine_registry.ENGINES.values()
)
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
