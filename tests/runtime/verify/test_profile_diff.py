"""`profile diff` with a running container: its filters come from the kernel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.host.processes import attempt
from tests.runtime.verify.test_filters import CRI_DEFAULT, give

if TYPE_CHECKING:
    from tests.runtime.conftest import Lab


def test_a_container_does_what_its_profile_says_and_one_composed_of_it_what_was_added(
    lab: Lab,
) -> None:
    name = "containerd + @swap - io_setup"
    policy = f'runtime = ["{lab.kind}"]\n[default]\nprofile = "{name}"\n'
    kept = f'runtime = ["{lab.kind}"]\n'
    bundle = lab.bundle()
    give(bundle, CRI_DEFAULT)
    lab.installed.configure(policy)
    try:
        bundle.create(lab.wrapped)
        container = f"container:{bundle.key[1]}"
        same = attempt([lab.installed.ctl, "profile", "diff", container, name])
        assert (same.returncode, same.stdout) == (0, "They do the same for every call.\n"), same
        done = attempt([lab.installed.ctl, "profile", "diff", "containerd", container, "--json"])
        assert done.returncode == 1, done.stderr
        rows = {one["syscall"]: one for one in json.loads(done.stdout)["differences"]}
        assert {"swapon", "swapoff", "io_setup"} <= {*rows}
        assert rows["swapon"]["second"] == "SCMP_ACT_ALLOW"
        assert rows["io_setup"]["second"] == "SCMP_ACT_ERRNO(EPERM)"
    finally:
        lab.installed.configure(kept)
