"""restore: CRIU gives processes the filters that they were dumped with, whatever the config says.

So it is refused if its profile must be enforced, unless the policy says otherwise. The config
decides about processes that are exec'd later: it is edited as at a create.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.containers.bundles import Bundle, seccomp_of_exec
from harness.host.processes import Run
from harness.kernel import process_status
from harness.node.install import Installed
from harness.node.requirements import program, requires

AS_DUMPED = 'restore = "as-dumped"\n'


def images(bundle: Bundle) -> tuple[str, ...]:
    """Return where CRIU writes and reads: crun makes only the former directory."""
    work = bundle.path / "work"
    work.mkdir(exist_ok=True)
    return "--image-path", str(bundle.path / "image"), "--work-path", str(work)


class Dumped:
    """A container that ran without us, and so without a filter, and was dumped."""

    def __init__(self, installed: Installed, bundle: Bundle) -> None:
        self.installed, self.bundle = installed, bundle
        self.bare = program(bundle.kind)

    def restored(self, settings: str) -> Run:
        """Restore it through us, by this policy."""
        self.installed.configure(settings + f'runtime = ["{self.bundle.kind}"]\n')
        flags = (*images(self.bundle), "--detach")
        return self.bundle.only_create(self.installed.wrapper, "restore", *flags)

    def checkpoint(self) -> None:
        done = self.bundle.call(self.bare, "checkpoint", *images(self.bundle))
        assert done.returncode == 0, done.stdout

    @property
    def decision(self) -> dict[str, Any]:
        """The ledger's newest line, once the filters are none."""
        assert process_status.seccomp(self.bundle.pid) == 0
        found = self.installed.ledger()[-1]
        assert found["id"] == self.bundle.name
        return found


@pytest.fixture(params=["runc", "crun"])
def bundle(
    request: pytest.FixtureRequest, make_bundle: Callable[..., Bundle], built: Callable[[str], Path]
) -> Bundle:
    """A bundle whose process CRIU can restore: busybox's sleep crashes after a restore here."""
    requires("criu", request.param, "cc")
    return make_bundle(request.param).running(built("pause"))


@pytest.fixture
def dumped(own_installation: Installed, bundle: Bundle) -> Dumped:
    made = Dumped(own_installation, bundle)
    assert bundle.seccomp(made.bare) == 0
    made.checkpoint()
    return made


def test_a_restore_is_refused_where_the_profile_is_to_be_enforced(dumped: Dumped) -> None:
    before = dumped.bundle.config.read_bytes()
    assert dumped.restored('on_error = "run-unmodified"\n').returncode == 1
    said = dumped.bundle.log.read_text()
    assert "restored from a checkpoint has the filters that it was dumped with" in said
    assert "as-dumped" in said
    assert dumped.bundle.config.read_bytes() == before


def test_a_restore_as_dumped_is_recorded_as_unenforced_and_found_by_verify(
    dumped: Dumped,
) -> None:
    assert dumped.restored(AS_DUMPED).returncode == 0
    line = dumped.decision
    assert (line["action"], line["mode"], line["restored"]) == ("inject", None, True)
    assert "restored from a checkpoint, with the filters that its processes had" in line["reason"]
    wrong = dumped.installed.shown("verify")["disagreeing"]
    name = dumped.bundle.name
    assert [one["found"]["filters"] for one in wrong if one["id"] == name] == [0]
    shown = dumped.installed.shown("status")
    assert [(one["mode"], one["agrees"]) for one in shown if one["id"] == name] == [(None, False)]


def test_in_audit_a_restored_container_starts_and_its_workload_is_not_safe(
    dumped: Dumped,
) -> None:
    assert dumped.restored('default.mode = "audit"\n').returncode == 0
    line = dumped.decision
    assert (line["mode"], line["restored"]) == ("audit", True)
    (workload,) = dumped.installed.shown("report")
    assert workload["verdict"] is None
    assert "restored from a checkpoint" in workload["reason"]


def test_a_process_execd_after_a_restore_is_confined_under_runc(
    own_installation: Installed, bundle: Bundle
) -> None:
    without = bundle.config.read_bytes()  # what the engine writes anew for a restore
    dumped = Dumped(own_installation, bundle)
    own_installation.configure(f'runtime = ["{bundle.kind}"]\n')
    assert bundle.seccomp(own_installation.wrapper) == 2
    dumped.checkpoint()

    bundle.config.write_bytes(without)
    restored = bundle.create(dumped.bare, "restore", *images(bundle), "--detach")
    assert process_status.seccomp(restored) == 2  # CRIU's doing
    assert seccomp_of_exec(bundle, dumped.bare) == 0  # the hole
    bundle.delete(dumped.bare)

    assert dumped.restored(AS_DUMPED).returncode == 0
    assert process_status.seccomp(bundle.pid) == 2
    assert seccomp_of_exec(bundle, own_installation.wrapper) == (2 if bundle.kind == "runc" else 0)
