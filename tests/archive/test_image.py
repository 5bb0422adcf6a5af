"""The image of a cluster's installer: the same each time, nothing needless in it, and it works."""

import hashlib
import json
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.archive import programs
from deploy.archive.machines import MACHINES, here
from deploy.image import __main__ as image_program
from harness.host.processes import attempt, run
from harness.node.archive import build_image
from harness.node.requirements import program, requires


@dataclass(frozen=True)
class Image:
    """An unpacked OCI archive."""

    layout: Path

    def blob(self, digest: str) -> bytes:
        data = (self.layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
        assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        return data

    def json(self, digest: str) -> Any:
        return json.loads(self.blob(digest))

    @property
    def index(self) -> Any:
        (one,) = json.loads((self.layout / "index.json").read_text())["manifests"]
        return self.json(one["digest"])

    def manifest(self, machine: str) -> Any:
        (found,) = (
            one["digest"]
            for one in self.index["manifests"]
            if one["platform"]["architecture"] == machine
        )
        return self.json(found)

    def unpack(self, machine: str, to: Path) -> Path:
        to.mkdir()
        for layer in self.manifest(machine)["layers"]:
            file = self.layout / "blobs" / "sha256" / layer["digest"].removeprefix("sha256:")
            run([program("tar"), "-C", to, "-xf", file])
        return to


def _build(archives: dict[str, Path], to: Path) -> Path:
    together = to / "archives"
    together.mkdir()
    for path in archives.values():
        (together / path.name).symlink_to(path)
    return build_image(together, to)


@pytest.fixture(scope="module")
def image(archives: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Image:
    requires("buildah", root=True)
    place = tmp_path_factory.mktemp("image")
    run([program("tar"), "-C", place, "-xf", _build(archives, place)])
    return Image(place)


@pytest.fixture(scope="module")
def root(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This machine's, as a directory."""
    return image.unpack(here().debian, tmp_path_factory.mktemp("root") / "root")


def test_the_same_archives_make_the_same_image(
    image: Image, archives: dict[str, Path], tmp_path: Path
) -> None:
    run([program("tar"), "-C", tmp_path, "-xf", _build(archives, tmp_path)])
    digests = [one["digest"] for one in image.index["manifests"]]
    assert [one["digest"] for one in Image(tmp_path).index["manifests"]] == digests


@pytest.mark.parametrize("machine", MACHINES)
def test_it_says_what_it_is(image: Image, machine: str) -> None:
    manifest = image.manifest(machine)
    config = image.json(manifest["config"]["digest"])
    assert (config["os"], config["architecture"]) == ("linux", machine)
    assert config["config"]["Entrypoint"] == ["/runc-wrap/bin/runc-wrapctl"]
    assert not config["config"].get("Cmd")
    assert config["config"]["User"] == "0:0"
    for found in (manifest["annotations"], config["config"]["Labels"]):
        assert found["org.opencontainers.image.title"] == "runc-wrap"
        assert found["org.opencontainers.image.licenses"] == "Apache-2.0"
        assert found["org.opencontainers.image.created"] == "2025-06-15T15:06:40Z"
        urls = [
            found.get(f"org.opencontainers.image.{name}") for name in ("source", "documentation")
        ]
        assert urls == [None, None]  # nobody has named them
        assert found.get("org.opencontainers.image.revision", "") == image_program.revision()


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_is_in_it_but_the_archive_and_what_the_installer_needs(
    image: Image, archives: dict[str, Path], machine: str, tmp_path: Path
) -> None:
    top = image.unpack(machine, tmp_path / "root")
    with tarfile.open(archives[machine]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()} - {""}
    found = {str(path.relative_to(top)) for path in top.rglob("*")}
    inside = {name.removeprefix("runc-wrap/") for name in found if name.startswith("runc-wrap/")}
    assert inside == names
    others = {name for name in found if not name.startswith("runc-wrap/")}
    files = {name for name in others if (top / name).is_file()}
    assert {name.partition("/")[0] for name in files} == {"installer"}
    assert not [name for name in files if name.endswith(("/sh", "/bash", "/busybox"))]
    modes = [path.lstat().st_mode for path in top.rglob("*")]
    assert not [mode for mode in modes if mode & (stat.S_ISUID | stat.S_ISGID)]


def test_the_readiness_probe_needs_nothing_of_the_image(root: Path) -> None:
    """It runs here as well, where no installer has written anything."""
    done = attempt([root / "installer" / "is-ready"])
    assert (done.returncode, done.stdout) == (1, "the installer has not looked at its node yet\n")
    programs.check_static(root / "installer" / "is-ready")
