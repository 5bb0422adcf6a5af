"""gVisor's runsc: why runc-wrap refuses it, shown on the real one, and that it does."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import script
from harness.node.install import Installed
from harness.node.requirements import program, requires
from tests.runtime.create.test_confinement import DENY_MKDIR

# Neither the sandbox's network nor its cgroup matters here, and CI's machine cannot give them.
ALONE = '#!/bin/sh\nexec {runsc} --network=none --ignore-cgroups {more} "$@"\n'
DENIED = "status 1\n"


@pytest.fixture
def runsc(tmp_path: Path) -> Callable[..., Path]:
    """Return a program that is runsc with these flags."""
    requires("runsc", root=True)

    def make(*more: str) -> Path:
        text = ALONE.format(runsc=program("runsc"), more=" ".join(more))
        return script(tmp_path / f"runsc{len(more)}", text)

    return make


@pytest.fixture
def bundle(make_bundle: Callable[..., Bundle]) -> Bundle:
    """A bundle whose profile denies what its process tries."""
    made = make_bundle("runc", seccomp=DENY_MKDIR)
    config = made.read()
    config["process"]["args"] = ["sh", "-c", "mkdir /tmp/denied 2>/dev/null; echo status $?"]
    config["root"]["readonly"] = False
    made.config.write_text(json.dumps(config))
    (made.path / "rootfs/tmp").mkdir(exist_ok=True)
    return made


def test_runsc_ignores_the_profile_that_runc_enforces(
    bundle: Bundle, runsc: Callable[..., Path]
) -> None:
    assert bundle.call(program("runc"), "run").stdout == DENIED
    assert bundle.call(runsc("--oci-seccomp"), "run").stdout == DENIED
    assert bundle.call(runsc(), "run").stdout == "status 0\n"


def test_runsc_is_refused_by_name(own_installation: Installed, runsc: Callable[..., Path]) -> None:
    config = own_installation.prefix / "etc" / "config.toml"
    config.write_text(f'runtime = ["{runsc()}", "runc"]\n')
    done = own_installation.control("apply", ok=False)
    assert done.returncode == 2
    assert f"{runsc()} --version printed 'runsc version " in done.stderr
    in_force = (own_installation.prefix / "lib/runtime/runc").readlink()
    assert in_force == Path(program("runc")).resolve()
