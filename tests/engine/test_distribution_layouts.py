"""A containerd that is laid out as that of a distribution: registered, confining, captured.

It is Debian's containerd, not theirs; what they generate, and where, is by their sources:
k3s-io/k3s pkg/agent/containerd; k0sproject/k0s pkg/component/worker/containerd of 1.30 to 1.35,
which have containerd 1; canonical/microk8s microk8s-resources. k3s' and RKE2's are below a
--data-dir, the others at their own paths, in the mount namespace of the test.
"""

import contextlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import tomlkit

from harness.engines.containerd import CRI_NAMESPACE, SMALL, Containerd, Handler, configuration
from harness.host.namespaces import MountNamespace, private_mounts
from harness.host.processes import Daemon, Run, attempt, run, short_directory
from harness.kernel.process_status import DISABLED, FILTER
from harness.node.install import Installed, copy_of
from harness.node.requirements import program, requires
from runc_wrap.node import installed_programs
from tests.unit.cluster import api_stand_in

CRI = "io.containerd.grpc.v1.cri"
HAS_CONTAINERD_1 = installed_programs.engine_versions().get("containerd", "").startswith("1.")
_RANCHER = {"k3s": "data/current/bin/containerd", "rke2": "bin/containerd"}
_BASE = '{{ template "base" . }}\n'
_K0S_HEAD = """# k0s_managed=true
# This is a placeholder configuration for k0s managed containerd.
version = 2
imports = ["/run/k0s/containerd-cri.toml"]
"""
_SNAP, _SNAP_DATA = "/snap/microk8s/current", "/var/snap/microk8s/current"
_VARIABLES = {
    "${SNAPSHOTTER}": "overlayfs",
    "${RUNTIME}": "runc",
    "${RUNTIME_TYPE}": "io.containerd.runc.v2",
    "${SNAP_DATA}": _SNAP_DATA,
    "${SNAP}": _SNAP,
}


class Layout:
    """The containerd of a distribution. Paths are as in its namespace, `space`.

    `config` is what `engine add` is told, `socket` where it answers.
    """

    config: Path
    binary: Path
    socket: Path
    environment: tuple[str, ...] = ()  # NAME=VALUE, of containerd

    def __init__(self, place: Path, space: MountNamespace) -> None:
        self.place, self.space = place, space

    def write(self) -> None:
        """Write what is there before we come."""
        for directory in (self.config.parent, self.binary.parent):
            self.space.inside(directory).mkdir(parents=True, exist_ok=True)
        self.space.inside(self.binary).symlink_to(program("containerd"))

    def generate(self) -> None:
        """Write what it writes at a start."""

    def argv(self) -> list[str | Path]:
        """Return the command that starts it."""
        return self._command(self.config)

    def _command(self, config: Path, *flags: str | Path) -> list[str | Path]:
        front = [*self.space.prefix, "env", *self.environment]
        return [*front, self.binary, "--config", config, *flags]

    def files(self) -> dict[str, bytes]:
        """Return the files that its owner keeps."""
        found = [one for one in self.space.inside(self.config.parent).rglob("*") if one.is_file()]
        return {one.name: one.read_bytes() for one in found}

    def _base(self) -> str:
        return configuration(self.place, {"runc": Handler(program("runc"))})

    def _base_for_flags(self) -> str:
        """Return it without what flags say."""
        return re.sub(r"(?m)^(root|state) = .*\n|^\[grpc\]\n.*\n", "", self._base())

    def _flags(self) -> list[str | Path]:
        """Return where it is by flags; its root is the test's, as no overlay is beneath another."""
        state = self.socket.with_name("containerd")
        return ["--root", self.place / "root", "--state", state, "--address", self.socket]

    def _over(self, *tops: str) -> None:
        """Let directories of the machine be written in the namespace only."""
        for top in tops:
            upper, work = (self.place / "over" / top[1:] / name for name in ("upper", "work"))
            run([*self.space.prefix, "mkdir", "-p", upper, work])
            layers = f"lowerdir={top},upperdir={upper},workdir={work}"
            run([*self.space.prefix, "mount", "-t", "overlay", "-o", layers, "test", top])


class Rancher(Layout):
    """k3s or RKE2: by the template for containerd 1, with an import of drop-ins for 2."""

    def __init__(self, name: str, place: Path, space: MountNamespace) -> None:
        super().__init__(place, space)
        self.config = place / name / "agent/etc/containerd/config.toml"
        self.binary = place / name / _RANCHER[name]
        self.socket = place / "c.sock"
        imports = f'imports = ["{self.config.parent}/config.toml.d/*.toml"]\n'
        head = "version = 2\n" if HAS_CONTAINERD_1 else f"version = 2\n{imports}"
        self.base = self._base().replace("version = 2\n", head)

    def write(self) -> None:
        super().write()
        self.space.inside(self.config).write_text(self.base)

    def generate(self) -> None:
        config = self.space.inside(self.config)
        template = config.with_name("config.toml.tmpl")
        text = template.read_text() if template.exists() else _BASE
        config.write_text(text.replace(_BASE, self.base))


class K0s(Layout):
    """k0s merges the drop-ins about the CRI plugin into a file that its main file imports."""

    config = Path("/etc/k0s/containerd.toml")
    binary = Path("/var/lib/k0s/bin/containerd")
    socket = Path("/run/k0s/containerd.sock")

    def write(self) -> None:
        self._over("/etc", "/var")
        super().write()
        self.space.inside(self.config).write_text(_K0S_HEAD)
        self.space.inside(self.config.parent / "containerd.d").mkdir()
        self.space.inside(self.socket.parent).mkdir()
        self.generate()

    def generate(self) -> None:
        merged = tomllib.loads(self._base_for_flags())
        for path in sorted(self.space.inside(self.config.parent).glob("containerd.d/*.toml")):
            patch = tomllib.loads(path.read_text())
            assert CRI in patch["plugins"]
            merged = api_stand_in.merged(merged, patch)
        written = self.space.inside(self.socket.with_name("containerd-cri.toml"))
        written.write_text(tomlkit.dumps(merged))

    def argv(self) -> list[str | Path]:
        return self._command(self.config, *self._flags())


class MicroK8s(Layout):
    """MicroK8s replaces ${NAME} in a template; its containerd finds the snap's Python modules."""

    config = Path(f"{_SNAP_DATA}/args/containerd-template.toml")
    binary = Path(f"{_SNAP}/bin/containerd")
    socket = Path("/var/snap/microk8s/common/run/containerd.sock")
    environment = (f"PYTHONPATH={_SNAP}/lib",)

    def write(self) -> None:
        self._over("/var")
        run([*self.space.prefix, "mount", "-t", "tmpfs", "test", "/snap"])
        super().write()
        modules, run_directory = Path(f"{_SNAP}/lib"), self.socket.parent
        for directory in (modules, run_directory):
            self.space.inside(directory).mkdir(parents=True)
        run([*self.space.prefix, "mount", "-t", "tmpfs", "test", run_directory])  # as on a node
        for name in ("json", "os", "re", "orjson"):
            self.space.inside(modules / f"{name}.py").write_text("raise SystemExit('not ours')\n")
        self.space.inside(self.config).write_text(self._template())
        self.generate()

    def _template(self) -> str:
        text = self._base_for_flags()
        default = 'default_runtime_name = "runc"'
        for own, variable in {
            default: 'default_runtime_name = "${RUNTIME}"\n  snapshotter = "${SNAPSHOTTER}"',
            'runtime_type = "io.containerd.runc.v2"': 'runtime_type = "${RUNTIME_TYPE}"',
            f"{self.place}/cni/bin": "${SNAP_DATA}/opt/cni/bin",
            f"{self.place}/cni/conf": "${SNAP_DATA}/args/cni-network",
        }.items():
            assert text.count(own) == 1
            text = text.replace(own, variable)
        return text

    def generate(self) -> None:
        text = self.space.inside(self.config).read_text()
        for name, value in _VARIABLES.items():
            text = text.replace(name, value)
        self._in_force().write_text(text)

    def files(self) -> dict[str, bytes]:
        found = super().files()
        del found["containerd.toml"]
        return found

    def argv(self) -> list[str | Path]:
        return self._command(self.config.with_name("containerd.toml"), *self._flags())

    def _in_force(self) -> Path:
        return self.space.inside(self.config.with_name("containerd.toml"))


LAYOUTS: dict[str, Callable[[Path, MountNamespace], Layout]] = {
    **{name: partial(Rancher, name) for name in _RANCHER},
    "k0s": K0s,
    "microk8s": MicroK8s,
}


@dataclass(frozen=True)
class Brought(Containerd):
    """A distribution's containerd; `ours`: an installation that is registered with it."""

    layout: Layout
    ours: Installed

    @property
    def socket(self) -> Path:
        return self.layout.socket

    def control(self, *words: str | Path) -> Run:
        """Run runc-wrapctl for its configuration."""
        config = ("--config", self.layout.config)
        return attempt([*self.space.prefix, self.ours.ctl, *words, *config], seconds=300)

    def restart(self) -> None:
        """Start it again: what it generates is generated again."""
        self.daemon.restart(self.layout.generate)
        self.wait_ready()


@contextlib.contextmanager
def _mount_point(path: Path) -> Iterator[None]:
    """Have a directory of the machine for the time of a test, to mount on it."""
    is_new = not path.exists()
    path.mkdir(exist_ok=True)
    try:
        yield
    finally:
        if is_new:
            path.rmdir()


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> Iterator[Layout]:
    """The layout on a node that does not know us."""
    requires("containerd", "ctr", "containerd-shim-runc-v2", "runc", "unshare", root=True)
    if request.param == "k0s" and not HAS_CONTAINERD_1:
        pytest.skip("with containerd 2 k0s' main file is of version 3, as the drop-ins then are")
    snap = _mount_point(Path("/snap")) if request.param == "microk8s" else contextlib.nullcontext()
    with snap, short_directory("dist") as place:
        small = {place / "state": SMALL, place / "over": SMALL}
        with private_mounts(place, small) as space:
            made = LAYOUTS[request.param](place, space)
            made.write()
            yield made


@pytest.fixture
def node(layout: Layout, installed: Installed, image: Path, tmp_path: Path) -> Iterator[Brought]:
    """A node whose engine was registered and then started."""
    ours = copy_of(installed, tmp_path / "own")
    before = layout.files()
    layout.generate()
    with Daemon(layout.argv(), layout.place / "containerd.log") as daemon:
        engine = Brought(layout.place, daemon, layout.space, layout, ours)
        engine.wait_ready()
        done = engine.control("engine", "add", "containerd")
        assert done.returncode == 0, done.stderr
        assert layout.files() != before
        engine.restart()
        engine.load(image, CRI_NAMESPACE)
        yield engine
        done = engine.control("engine", "remove", "containerd")
        assert done.returncode == 0, done.stderr
        layout.generate()
        assert layout.files() == before


def test_a_pod_is_confined_and_the_default_captured_by_the_added_handler(
    node: Brought,
) -> None:
    with node.kubelet() as cri:
        found = [cri.started(cri.run_pod(handler)) for handler in ("runc", "runc-wrap")]
        refused = node.control("engine", "remove", "containerd", "--dry-run")
        cri.remove_pods()
    assert found == [DISABLED, FILTER]
    assert refused.returncode == 2
    assert "; try: stop and remove them first" in refused.stderr
    done = node.control("profile", "capture", "containerd", "--json")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    document = json.loads(done.stdout)
    assert document["differences"] == []
    assert document["answers"] >= 19
    listed = node.ctr("containers", "list", "--quiet", namespace=CRI_NAMESPACE)
    assert listed.stdout == ""
