"""The engines of this suite, one of each for all tests, each in its own directories.

Every engine has the same runtimes registered: `runc` and `crun`, the bare ones; `wrapped` and
`wrapped-crun`, the wrapper before either; `renamed`, a link of another name to the wrapper;
`recorded`, which records the config and refuses; `spoiled` and `full`, the wrapper behind a script
that truncates config.json or fills the disk.
"""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.containers import logged_calls, recording_runtime
from harness.containers.recording_runtime import Recorder
from harness.engines import images
from harness.engines.buildah import Buildah, buildah
from harness.engines.containerd import CRI_NAMESPACE, Containerd, Handler, containerd
from harness.engines.cri import Cri
from harness.engines.docker import Docker, dockerd
from harness.engines.podman import Podman, podman
from harness.host.processes import Run, attempt, installed_version, short_directory
from harness.node.install import Installed, copy_of
from harness.node.requirements import program, requires

Runtimes = dict[str, Path]


@pytest.fixture(scope="session", autouse=True)
def tidy_on_sigterm() -> Iterator[None]:
    """Make SIGTERM (a CI's time limit) end the session like Ctrl-C, with cleanup."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A directory with a short path for everything of this session."""
    with short_directory("engines") as directory:
        yield directory


@pytest.fixture(scope="session")
def image(place: Path, built: Callable[[str], Path]) -> Path:
    """The docker-archive of busybox and the program that makes calls."""
    (place / "image").mkdir()
    return images.archive(place / "image", built(logged_calls.PROGRAM))


@pytest.fixture(scope="session")
def recorded(place: Path) -> Recorder:
    """The runtime `recorded`: stores what the engine wrote, then refuses (but starts sandboxes)."""
    requires("runc")
    return recording_runtime.refusing_recorder(place, "recorded", program("runc"))


RULES = """
runtime = ["{kind}"]
[[rule]]
name = "batch jobs: look first"
namespace = ["batch-*"]
mode = "audit"
[[rule]]
name = "not yet"
namespace = ["legacy"]
mode = "off"
"""


BY_IMAGE = """
[opt_out]
images = ["trusted.example/*"]
[[rule]]
name = "not this image"
image = ["exempt.example/*"]
mode = "off"
[[rule]]
name = "not this container"
container = ["exempt"]
mode = "off"
"""
ADOPTS = """
[default]
adopt = "runtime-default"
[overlay]
deny = ["mincore"]
[[rule]]
name = "look first"
namespace = ["watched"]
mode = "audit"
"""
ADOPTS_WEAKER = """
runtime = ["crun"]
[default]
adopt = "runtime-default, also weaker"
mode = "audit"
"""
GOVERNED = {  # an installation each, and a handler of the same name
    "wrapped-crun": 'runtime = ["crun"]\n',
    "ruled-runc": RULES.format(kind="runc"),
    "ruled-crun": RULES.format(kind="crun"),
    "by-image": BY_IMAGE,
    "strict": "[opt_out]\nannotations = false\n",
    "honours": '[opt_out]\nlate = "honour"\n',
    "adopts": ADOPTS,
    "adopts-weaker": ADOPTS_WEAKER,
}
OPEN = {"wrapped": "open", "by-image": "open-by-image", "ruled-runc": "open-ruled"}


@pytest.fixture(scope="session")
def governed(place: Path, installed: Installed) -> dict[str, Installed]:
    """Installations whose owners differ."""
    requires("crun")
    made = {name: copy_of(installed, place / name) for name in GOVERNED}
    for name, text in GOVERNED.items():
        made[name].configure(text)
    return made


@pytest.fixture
def configured() -> Iterator[Callable[[Installed, str], None]]:
    """Puts a policy in force on a node; afterwards each has its former one again."""
    before: dict[Installed, str] = {}

    def configure(own: Installed, text: str) -> None:
        before.setdefault(own, (own.prefix / "etc" / "config.toml").read_text())
        own.configure(text)

    yield configure
    for own, text in before.items():
        own.configure(text)


@pytest.fixture(scope="session")
def runtimes(
    place: Path, recorded: Recorder, installed: Installed, governed: dict[str, Installed]
) -> Runtimes:
    """Name to path of every runtime but `runc`, as the engines get them."""
    renamed = place / "confined-by-default"
    renamed.symlink_to(installed.wrapper)
    return {
        "crun": Path(program("crun")),
        **{name: each.wrapper for name, each in governed.items()},
        "wrapped": installed.wrapper,
        "renamed": renamed,
        "recorded": recorded.path,
        "spoiled": recording_runtime.spoils_config(place / "spoiled", installed.wrapper),
        "full": recording_runtime.fills_disk(place / "full", installed.wrapper),
    }


@pytest.fixture(scope="session")
def node(place: Path, image: Path, runtimes: Runtimes) -> Iterator[Containerd]:
    """containerd with its CRI plugin, and some handlers more.

    `deaf` is `wrapped` without pod annotations passed on, `deviceless` with
    privileged_without_host_devices; those of OPEN pass all annotations on; `capturing` leads to an
    installation that test_profile_capture makes.
    """
    (place / "c").mkdir()
    handlers = {name: Handler(path) for name, path in runtimes.items()}
    handlers["deaf"] = Handler(runtimes["wrapped"], pod_annotations=())
    for name, opened in OPEN.items():
        handlers[opened] = Handler(runtimes[name], pod_annotations=("*", "*/*"))
    handlers["capturing"] = Handler(place / "capturing" / "bin" / "runc-wrap")
    handlers["deviceless"] = Handler(runtimes["wrapped"], without_host_devices=True)
    with containerd(place / "c", handlers) as engine:
        engine.load(image)
        engine.load(image, CRI_NAMESPACE)
        yield engine


@pytest.fixture(scope="session")
def kubelet(node: Containerd) -> Iterator[Cri]:
    """A CRI client of `node`, for the session."""
    with node.kubelet() as speaking:
        yield speaking


@pytest.fixture
def cri(kubelet: Cri) -> Iterator[Cri]:
    """The CRI client; afterwards every pod of the test is removed."""
    yield kubelet
    kubelet.remove_pods()


@pytest.fixture(scope="session")
def docker_daemon(place: Path, image: Path, runtimes: Runtimes) -> Iterator[Docker]:
    """A dockerd whose default seccomp profile is `unconfined`."""
    (place / "d").mkdir()
    with dockerd(place / "d", runtimes) as engine:
        engine.docker("load", "--input", image)
        yield engine


@pytest.fixture
def docker(docker_daemon: Docker) -> Iterator[Docker]:
    """The session's Docker; afterwards every container of the test is removed."""
    yield docker_daemon
    docker_daemon.remove_all()


@pytest.fixture(scope="session")
def podman_storage(place: Path, image: Path, runtimes: Runtimes) -> Iterator[Podman]:
    """A Podman whose default is `unconfined`; it passes --log to `renamed`, not to `wrapped`."""
    (place / "p").mkdir()
    with podman(place / "p", runtimes, [runtimes["renamed"].name]) as engine:
        engine.podman("load", "--input", image)
        yield engine


@pytest.fixture(name="podman")
def podman_engine(podman_storage: Podman) -> Iterator[Podman]:
    """The session's Podman; afterwards every container of the test is removed."""
    yield podman_storage
    podman_storage.remove_all()


@pytest.fixture(name="buildah")
def buildah_engine() -> Iterator[Buildah]:
    """A Buildah for this test."""
    with short_directory("b") as directory, buildah(directory) as engine:
        yield engine


@dataclass(frozen=True)
class Client:
    """An engine with a command like Docker's.

    `with_default` starts a container with the engine's own default profile, a version of `profile`;
    `unmasked` is the option that masks no path.
    """

    engine: Docker | Podman
    call: Callable[..., Run]
    with_default: Callable[..., str]
    profile: str
    unmasked: str


@dataclass(frozen=True)
class Ctl:
    """runc-wrapctl of an installation, where an engine's files are seen."""

    installed: Installed
    before: Sequence[str]

    def __call__(self, *words: str | Path) -> Run:
        """Run it; a failure is returned."""
        return attempt([*self.before, self.installed.ctl, *words], seconds=300)

    def shown(self, *words: str | Path) -> Any:
        """Return the document that it prints with --json, and nothing on stderr, with success."""
        done = self(*words, "--json")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return json.loads(done.stdout)

    def status(self) -> dict[str, Any]:
        """Return {id: status}."""
        done = self("status", "--json")
        assert done.returncode == 0, done.stderr
        return {one["id"]: one for one in json.loads(done.stdout)}

    def verified(self, *flags: str) -> tuple[int, Any]:
        done = self("verify", "--json", *flags)
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def pods_ctl(node: Containerd, installed: Installed) -> Ctl:
    return Ctl(installed, node.space.prefix)


@pytest.fixture
def podmans_ctl(podman: Podman, installed: Installed) -> Ctl:
    return Ctl(installed, podman.space.prefix)


@pytest.fixture(params=["docker", "podman"])
def client(request: pytest.FixtureRequest) -> Client:
    """Docker, then Podman."""
    if request.param == "docker":
        docker: Docker = request.getfixturevalue("docker")
        builtin = ("--security-opt", "seccomp=builtin")
        own = f"moby@{installed_version('dockerd')}"
        started = lambda *words: docker.start(*words, *builtin)  # noqa: E731
        return Client(docker, docker.docker, started, own, "systempaths=unconfined")
    podman: Podman = request.getfixturevalue("podman")
    default = podman.override("own-default", '[containers]\nseccomp_profile = ""\n')
    started = lambda *words: podman.start(*words, override=default)  # noqa: E731
    return Client(podman, podman.podman, started, "containers-common@", "unmask=ALL")
