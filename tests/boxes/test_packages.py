"""Debian's package in a box with systemd: installed, upgraded, removed and purged by apt.

The tests are the steps of one box's life, in order.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.host.processes import short_directory
from harness.node import observed_calls, packages
from harness.node.guest import IMAGE, LISTING, UNITS, Node
from harness.node.observed_calls import RUN
from harness.node.requirements import requires
from tests.boxes.box import box

ETC = "/etc/runc-wrap/config.toml"
LEFT = f"{packages.PREFIX}/bin/runc-wrap"
VERSIONS = ("0.2.0", "0.2.1")
_APT = "DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0"
_RELEASE = f"readlink {packages.PREFIX}/lib/current"
# dpkg's and apt's own records are not the package's
_OWN = ("/var/lib/dpkg/", "/var/lib/apt/", "/var/cache/apt/", "/var/cache/debconf/")


@dataclass(frozen=True)
class Packaged(Node):
    """A machine to which both versions of the package were brought."""

    files: dict[str, str]  # by version

    def install(self, version: str) -> str:
        """Install that version, whichever there was; return what apt and dpkg said."""
        words = f"{_APT} install --allow-downgrades -y {self.files[version]} 2>&1"
        return self.machine.sh(words, seconds=300)

    def take_away(self, how: str) -> tuple[int, str]:
        """Remove or purge it; return the exit status and what was said."""
        done = self.machine.attempt(f"{_APT} {how} -y runc-wrap 2>&1", seconds=300)
        return done.returncode, done.stdout

    def seccomp(self, *options: str) -> str:
        """Run a container by Docker; return its mode of seccomp."""
        run = "docker run --rm --network none --security-opt seccomp=unconfined"
        return self.machine.sh(f'{run} "$@" {IMAGE} grep Seccomp: /proc/self/status', *options)


@pytest.fixture(scope="module")
def debs(release: Path) -> dict[str, Path]:
    """The archive's package, and the same as the next version: beside the archive, and its own."""
    requires("dh_builddeb")
    with release.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    place = release.parent / f"debs-{digest[:12]}"
    if not place.exists():
        _build(release, place)
    return {version: place / f"runc-wrap_{version}-1_amd64.deb" for version in VERSIONS}


def _build(release: Path, place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="debs-", dir=release.parent) as directory:
        made = Path(directory) / "debs"
        made.mkdir()
        first = packages.unpacked(release, Path(directory) / "unpacked")
        second = packages.as_version(first, VERSIONS[1], Path(directory) / "next")
        for each in (first, second):
            packages.build(each, "amd64", made)
        made.rename(place)


@pytest.fixture(scope="module")
def node(debs: dict[str, Path], busybox: Path) -> Iterator[Packaged]:
    """A machine of its own: what the other tests of this folder use has no package."""
    with short_directory("box") as directory, box(directory, busybox) as on:
        on.copy_in([*debs.values()], "/root")
        files = {version: f"/root/{file.name}" for version, file in debs.items()}
        yield Packaged(on, on.sh(LISTING), "", files)


@pytest.fixture
def observing(node: Packaged) -> Iterator[observed_calls.Calls]:
    node.machine.sh(f"printf '[default]\\nmode = \"observe\"\\n' > {ETC}; runc-wrapctl apply")
    with observed_calls.calls(node.machine) as calls:
        yield calls
    node.machine.sh(f": > {ETC}; runc-wrapctl apply")


def test_installed_its_services_run_and_a_container_is_confined(node: Packaged) -> None:
    node.install("0.2.0")
    assert node.active() == ["active"] * len(UNITS)
    node.machine.sh("runc-wrapctl engine add docker; systemctl reload docker")
    assert node.seccomp().split() == ["Seccomp:", "0"]
    assert node.seccomp("--runtime", "runc-wrap").split() == ["Seccomp:", "2"]
    assert "error:" not in node.ctl("doctor").stdout


def test_its_units_log_no_warning(node: Packaged) -> None:
    assert node.warnings() == []


@pytest.mark.parametrize("version", VERSIONS[::-1])
def test_an_upgrade_and_a_downgrade_fail_no_call_of_a_container_in_observe(
    node: Packaged, observing: observed_calls.Calls, version: str
) -> None:
    before = [node.service(name)["MainPID"] for name in ("decide", "observe")]
    node.install(version)
    observing.go_on()
    assert node.machine.sh(_RELEASE).strip() == f"releases/{version}"
    after = [node.service(name)["MainPID"] for name in ("decide", "observe")]
    assert not set(before) & set(after)
    assert node.active() == ["active"] * len(UNITS)
    assert node.machine.sh("docker inspect -f '{{.State.Running}}' calls").strip() == "true"
    assert node.seccomp("--runtime", "runc-wrap").split() == ["Seccomp:", "2"]


def test_after_a_removal_a_running_container_can_be_entered_and_stopped(node: Packaged) -> None:
    node.machine.sh(f"{RUN} --name stays {IMAGE} sleep 100000")
    status, said = node.take_away("remove")
    assert (status, f"{LEFT} stays and leads to" in said) == (0, True), said
    assert node.active() == ["inactive"] * len(UNITS)
    assert node.machine.sh("docker exec stays echo entered").strip() == "entered"
    node.machine.sh("docker stop -t 1 stays; docker start stays; docker rm -f stays")


def test_installed_again_it_confines_at_the_path_that_had_stayed(node: Packaged) -> None:
    assert node.seccomp("--runtime", "runc-wrap").split() == ["Seccomp:", "0"]
    node.install("0.2.1")
    assert node.active() == ["active"] * len(UNITS)
    assert node.seccomp("--runtime", "runc-wrap").split() == ["Seccomp:", "2"]


def test_a_purge_leaves_every_file_as_it_was_before_the_installation(node: Packaged) -> None:
    node.machine.sh("runc-wrapctl engine remove docker; systemctl restart docker")
    status, said = node.take_away("purge")
    assert status == 0, said
    assert _others(node.machine.sh(LISTING)) ^ _others(node.before) == set(), said
    assert node.active() == ["inactive"] * len(UNITS)


def _others(listing: str) -> set[str]:
    return {line for line in listing.splitlines() if not line.startswith(_OWN)}
