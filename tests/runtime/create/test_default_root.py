"""A runtime's default state directory: as runc and crun choose it, and as the ledger says."""

import shutil
from pathlib import Path

import pytest

from harness.host.namespaces import private_mounts
from harness.host.processes import attempt, run, short_directory
from harness.node.requirements import program, requires
from runc_wrap.hotpath import main

USER = 14242
OURS = "import posix, sys; from runc_wrap.hotpath.main import default_root as d; \
print(d(sys.argv[1], posix.environ))"
PYTHON = ("/usr/bin/python3", "-S", "-c")
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
INSIDE = ["unshare", "--user", "--map-root-user"]
WHO = {
    "root": [],
    "root of a namespace": INSIDE,
    "root of a namespace, called root": ["env", "USER=root", *INSIDE],
    "root of a namespace, called otherwise": ["env", "USER=someone", *INSIDE],
    "a user": AS_USER,
    "a user, called root": [*AS_USER, "env", "USER=root"],
    "a user's namespace": [*AS_USER, *INSIDE],
}


@pytest.mark.parametrize("kind", ["runc", "crun"])
@pytest.mark.parametrize("who", WHO)
def test_the_default_root_is_where_the_real_runtime_looks(kind: str, who: str) -> None:
    """In XDG_RUNTIME_DIR each runtime creates the directory for every command."""
    requires("runc", "crun", "setpriv", "unshare", root=True)
    with short_directory("root") as directory, private_mounts(directory, {}) as space:
        directory.chmod(0o755)
        own = directory / "own"
        run([*space.prefix, "install", "-d", "-m", "777", own])
        called = [*space.prefix, "env", "-i", f"XDG_RUNTIME_DIR={own}", *WHO[who]]
        attempt([*called, program(kind), "list"])
        is_own = (own / kind).is_dir()
        shutil.copytree(Path(main.__file__).parent, directory / "runc_wrap/hotpath")
        ours = run([*called, "env", f"PYTHONPATH={directory}", *PYTHON, OURS, kind])
        assert ours.stdout.strip() == (f"{own}/{kind}" if is_own else f"/run/{kind}")
