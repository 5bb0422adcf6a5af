"""clone3 in observe: what clone cannot do is named, and what is not known hides nothing."""

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import wait_until
from tests.runtime.conftest import Lab

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


def _prepared(lab: Lab, words: list[str], own: Path | None = None) -> Bundle:
    bundle = lab.running("clones", *words)
    with bundle.edited() as config:
        for given in config["process"]["capabilities"].values():
            given.append("CAP_CHECKPOINT_RESTORE")
        if own:
            bound = {"type": "bind", "source": str(own), "options": ["bind"]}
            config["mounts"].append({"destination": CGROUP, **bound})
    return bundle


def _reported(lab: Lab, bundle: Bundle) -> dict[str, Any]:
    wait_until(lambda: bool(lab.workload(bundle)["calls"]), "the calls on disk", 30)
    return lab.workload(bundle)


BEYOND_CLONE = [(["cgroup", CGROUP], "CLONE_INTO_CGROUP"), (["pid"], "set_tid")]


@pytest.mark.parametrize(("words", "named"), BEYOND_CLONE)
def test_what_clone_cannot_do_fails_under_enforce_and_observe_names_it(
    lab: Lab, words: list[str], named: str
) -> None:
    with cgroup2(lab.node.prefix.parent / "c") as own:

        def run(by: str | Path) -> tuple[int, Bundle]:
            bundle = _prepared(lab, words, own)
            return bundle.call(by, "run").returncode, bundle

        assert run(lab.bare)[0] == 0
        lab.configure()
        assert run(lab.wrapper)[0] != 0
        lab.mode("observe")
        with lab.agent():
            status, bundle = run(lab.wrapper)
            assert status == 0
            found = _reported(lab, bundle)
    (clone3,) = [one for one in found["calls"] if one["syscall"] == "clone3"]
    assert (found["verdict"], clone3["verdict"]) == ("degrades", "degrades")
    assert clone3["outcome"] == f"ENOSYS, and clone has no {named}"


def test_a_process_that_is_killed_while_its_clone3_waits_makes_nothing_depend(lab: Lab) -> None:
    with lab.agent():
        bundle = _prepared(lab, ["killed", str(KILLED)])
        assert bundle.call(lab.wrapper, "run").returncode == 0
        found = _reported(lab, bundle)
    assert found["verdict"] == "safe", found["reason"]
    assert "was to do is unknown, as its caller was killed" in found["confidence"]
    (clone3,) = found["calls"]
    assert "CLONE_THREAD" in clone3["arguments"][0]


def test_a_clone3_whose_flags_only_its_process_can_read_is_unknown(lab: Lab) -> None:
    """By memfd_secret(2), which the default profiles allow: besides it the kernel reads it."""
    with lab.agent():
        bundle = _prepared(lab, ["secret", CLONE_NEWUSER])
        status = bundle.call(lab.wrapper, "run").returncode
        if status == errno.ENOSYS:
            pytest.skip("this kernel has no memfd_secret")
        assert status == 0
        found = _reported(lab, bundle)
    assert found["verdict"] is None
    assert "the flags of 1 of 1 call of clone3 could not be read" in found["reason"]
