"""clone3 in observe: what clone cannot do is named, and what is not known hides nothing."""

from __future__ import annotations

import errno
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from harness.host.processes import short_directory, wait_until
from harness.node import agent as agents
from harness.node import install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Pair

CGROUP = "/cgroup2"
CLONE_NEWUSER = "0x10000000"
KILLED = 400  # processes: of a third of them a call was waiting


@contextmanager
def cgroup2(place: Path) -> Iterator[Path]:
    """A new cgroup of version 2, whatever this machine has mounted."""
    place.mkdir()
    subprocess.run(["mount", "-t", "cgroup2", "none", str(place)], check=True)
    own = place / f"clones-{place.stat().st_ino}-{id(place)}"
    try:
        own.mkdir()
        yield own
    finally:
        if own.exists():
            own.rmdir()
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def _prepared(bundle: Bundle, program: Path, words: list[str], own: Path | None = None) -> Bundle:
    with bundle.running(program, *words).edited() as config:
        for given in config["process"]["capabilities"].values():
            given.append("CAP_CHECKPOINT_RESTORE")
        if own:
            bound = {"type": "bind", "source": str(own), "options": ["bind"]}
            config["mounts"].append({"destination": CGROUP, **bound})
    return bundle


def _reported(node: install.Installed, bundle: Bundle) -> dict[str, Any]:
    wait_until(lambda: bool(node.workload(bundle.name)["calls"]), "the calls on disk", 30)
    return node.workload(bundle.name)


@pytest.mark.parametrize(
    ("words", "named"),
    [(["cgroup", CGROUP], "CLONE_INTO_CGROUP"), (["pid"], "set_tid")],
    ids=["cgroup", "pid"],
)
def test_what_clone_cannot_do_fails_under_enforce_and_observe_names_it(
    pair: Pair,
    make_bundle: Callable[..., Any],
    built: Callable[[str], Path],
    words: list[str],
    named: str,
) -> None:
    with short_directory("only") as place, cgroup2(place / "c") as own:
        node = install.copy_of(pair.installed, place / "p")

        def run(by: str | Path) -> tuple[int, Bundle]:
            bundle = _prepared(make_bundle(pair.kind), built("clones"), words, own)
            return bundle.call(by, "run").returncode, bundle

        assert run(pair.bare)[0] == 0
        node.configure(f'runtime = ["{pair.kind}"]\n')
        assert run(node.wrapper)[0] != 0
        node.configure(f'runtime = ["{pair.kind}"]\n[default]\nmode = "observe"\n')
        with agents.running(node) as agent:
            agent.wait_ready()
            status, bundle = run(node.wrapper)
            assert status == 0

            found = _reported(node, bundle)
        (clone3,) = [one for one in found["calls"] if one["syscall"] == "clone3"]
        assert (found["verdict"], clone3["verdict"]) == ("degrades", "degrades")
        assert clone3["outcome"] == f"ENOSYS, and clone has no {named}"


def test_a_process_that_is_killed_while_its_clone3_waits_makes_nothing_depend(
    pair: Pair,
    node: install.Installed,
    make_bundle: Callable[..., Any],
    built: Callable[[str], Path],
) -> None:
    with agents.running(node) as agent:
        agent.wait_ready()
        bundle = _prepared(make_bundle(pair.kind), built("clones"), ["killed", str(KILLED)])
        assert bundle.call(node.wrapper, "run").returncode == 0
        found = _reported(node, bundle)
    assert found["verdict"] == "safe", found["reason"]
    assert "was to do is unknown, as its caller was killed" in found["confidence"]
    (clone3,) = found["calls"]
    assert "CLONE_THREAD" in clone3["arguments"][0]


def test_a_clone3_whose_flags_only_its_process_can_read_is_unknown(
    pair: Pair,
    node: install.Installed,
    make_bundle: Callable[..., Any],
    built: Callable[[str], Path],
) -> None:
    """By memfd_secret(2), which the default profiles allow: besides it the kernel reads it."""
    with agents.running(node) as agent:
        agent.wait_ready()
        bundle = _prepared(make_bundle(pair.kind), built("clones"), ["secret", CLONE_NEWUSER])
        status = bundle.call(node.wrapper, "run").returncode
        if status == errno.ENOSYS:
            pytest.skip("this kernel has no memfd_secret")
        assert status == 0
        found = _reported(node, bundle)
    assert found["verdict"] is None
    assert "the flags of 1 of 1 call of clone3 could not be read" in found["reason"]
