"""`uninstall` strands no container that Podman was told to start by our path.

Podman stores that path with the container, and no configuration has a name for it.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engines.images import REFERENCE
from harness.engines.podman import UID, Rootless, rootless
from harness.host.processes import short_directory
from harness.node.install import Installed, install
from harness.node.requirements import program

NAME = "one"


@pytest.fixture(name="directory")
def open_directory() -> Iterator[Path]:
    """A directory that a user may enter, with a short path."""
    with short_directory("bypath", 0o755) as place:
        yield place


@pytest.fixture(name="node")
def an_installation(directory: Path) -> Installed:
    """One of its own, as a copy would share the release that an uninstall removes."""
    return install(directory / "p")


@pytest.fixture(name="users")
def users_podman(directory: Path, image: Path) -> Iterator[Rootless]:
    """A user's Podman, which knows no name of ours."""
    with rootless(directory, image, {}) as engine:
        yield engine


def _handed_over(users: Rootless, node: Installed) -> str:
    """Uninstall, and return why our path leads to the real runtime."""
    done = users.root(node.ctl, "uninstall", "--json", "--hand-over", "--purge")
    assert done.returncode == 0, done.stderr
    left = {each["what"]: each["why"] for each in json.loads(done.stdout)["left"]}
    real = next(each for each in left if each.startswith(f"{node.wrapper}, which leads to "))
    assert node.wrapper.resolve() == Path(program("runc")).resolve()
    assert [*node.prefix.rglob("*")] == [node.wrapper.parent, node.wrapper]
    return str(left[real])


def test_a_user_can_stop_a_container_of_our_path_afterwards(
    users: Rootless, directory: Path, node: Installed
) -> None:
    users.podman("--runtime", node.wrapper, "run", "--detach", "--name", NAME, REFERENCE)
    id_ = users.podman("inspect", "--format", "{{.Id}}", NAME)
    aside = node.prefix.rename(directory / "aside")  # as after rm -r
    assert users.user("podman", "--storage-driver", "vfs", "exec", NAME, "true").returncode != 0
    aside.rename(node.prefix)

    told = f"{id_} (podman of uid {UID}, running) needs runc-wrap"
    dry = users.root(node.ctl, "uninstall", "--dry-run")
    assert dry.returncode == 0, dry.stderr  # named, and no veto: any user could start one
    assert told in dry.stdout
    assert _handed_over(users, node).startswith(told)
    users.podman("exec", NAME, "true")
    users.podman("stop", "--time", "0", NAME)
    users.podman("rm", NAME)
