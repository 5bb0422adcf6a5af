"""The archive's interpreter takes no library of the node, whatever the node's files name."""

import re
import shutil
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.host.processes import attempt, environment, run
from harness.node import archive, install, launchers
from harness.node.archive import EmptyRoot
from harness.node.install import SOURCE, Installed
from harness.node.requirements import program, requires

PYTHON = "/opt/runc-wrap/lib/current/venv/bin/python"
WRAPPER = "/opt/runc-wrap/bin/runc-wrap"
ENDED = 77
# A library for another libc: here one that ends whatever loads it, before main.
ENDS = "#include <unistd.h>\n__attribute__((constructor)) static void end(void) { _exit(77); }\n"
# What a create and the commands below may open beside their own installation: data, no code.
DATA = re.compile(
    r"/(proc|sys|run)(/.*)?|/dev/null|/etc/localtime|/usr/share/containers/seccomp.json|.*/bundle/.*"
)
COMMANDS = [["--version"], ["status"], ["verify"], ["metrics"]]


@pytest.fixture
def root(native: Path, tmp_path: Path) -> EmptyRoot:
    """Whose runc is a program that does nothing and needs no library."""
    requires("runc", "unshare", root=True)
    made = archive.empty_root(native, tmp_path / "root")
    launchers.as_released(made.path / "nothing", "musl-gcc", [SOURCE / "bench" / "runtime.c"])
    assert made.run("/opt/runc-wrap/bin/runc-wrapctl", "apply").returncode == 0
    install.use_runtime(Installed(made.path / "opt" / "runc-wrap"), "/nothing")
    return made


def _library(target: Path) -> None:
    source = target.with_suffix(".c")
    source.write_text(ENDS)
    run([program("cc"), "-shared", "-fPIC", "-o", target, source])
    source.unlink()


@pytest.mark.parametrize(("named", "others"), [("/ends.so", ENDED), ("/is/not/there.so", 0)])
def test_ld_so_preload_stops_no_create(root: EmptyRoot, named: str, others: int) -> None:
    _library(root.path / "ends.so")
    (root.path / "etc").mkdir()
    (root.path / "etc" / "ld.so.preload").write_text(f"{named}\n")
    program_of_the_node = root.run("/usr/sbin/runc", "--version")
    assert program_of_the_node.returncode == others
    assert others or "cannot be preloaded" in program_of_the_node.stderr
    bundle = bundles.make(root.path / "bundle", "runc")
    created = root.run(WRAPPER, "create", "--bundle", "/bundle", "ID")
    assert (created.returncode, created.stdout, created.stderr) == (0, "", "")
    assert bundle.read()["linux"]["seccomp"]


def test_a_name_service_of_the_node_is_not_loaded(root: EmptyRoot) -> None:
    getent = Path(program("getent")).resolve()
    libraries = next((root.path / "usr" / "lib").glob("*-linux-gnu"))
    shutil.copy(getent, root.path / "getent")
    _library(libraries / "libnss_ends.so.2")
    (root.path / "etc").mkdir()
    (root.path / "etc" / "nsswitch.conf").write_text("passwd: ends\n")
    assert root.run("/getent", "passwd", "4321").returncode == ENDED
    asked = root.run(PYTHON, "-I", "-c", "import pwd; pwd.getpwuid(4321)")
    assert asked.stderr.endswith("KeyError: 'getpwuid(): uid not found: 4321'\n")


def test_a_library_that_is_not_in_the_archive_is_not_taken_from_the_node(root: EmptyRoot) -> None:
    libraries = next((root.path / "usr" / "lib").glob("*-linux-gnu"))
    for place in (libraries, root.path / "usr" / "lib"):
        _library(place / "libends.so")
        asked = root.run(PYTHON, "-I", "-c", "import ctypes; ctypes.CDLL('libends.so')")
        assert "libends.so: cannot open shared object file" in asked.stderr


def test_a_create_and_a_command_open_data_of_the_node_and_no_code(
    unpacked: Installed, tmp_path: Path
) -> None:
    """In a locale whose character set is a library of the node's glibc."""
    requires("strace", root=True)
    unpacked.control("apply")
    nothing = tmp_path / "nothing"
    launchers.as_released(nothing, "musl-gcc", [SOURCE / "bench" / "runtime.c"])
    install.use_runtime(unpacked, nothing)
    bundle = bundles.make(tmp_path / "bundle", "runc")
    called: list[list[str | Path]] = [[unpacked.ctl, *words] for words in COMMANDS]
    called.append([unpacked.ctl, "explain", bundle.config])
    called.append([unpacked.wrapper, "create", "--bundle", bundle.path, "ID"])
    for argv in called:
        trace = tmp_path / "trace"
        strace: list[str | Path] = ["strace", "-f", "-e", "trace=open,openat,execve", "-o", trace]
        done = attempt([*strace, *argv], env=environment(LC_ALL="de_DE.ISO-8859-1"))
        assert done.returncode < 2, done.stderr  # 1: the machine's other containers
        found = _opened(trace.read_text())
        assert str(unpacked.release / "venv/lib/private/libc.so.6") in found
        others = {name for name in found if not Path(name).is_relative_to(unpacked.prefix)}
        assert not {name for name in others if not DATA.fullmatch(name)} - {str(nothing)}, argv


def _opened(trace: str) -> set[str]:
    """Return the paths that were opened or executed with success."""
    paths = re.findall(r'^\d+ +\w+\((?:AT_FDCWD, )?"(/[^"]*)".* = \d+', trace, re.MULTILINE)
    assert trace.count("\n") > len(paths) > 10
    return set(paths)
