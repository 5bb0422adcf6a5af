"""The release archive at work: with nothing else there, moved, read-only, installed.

Its interpreter takes no library of the node, whatever the node's files name.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.containers.bundles import Bundle
from harness.host.processes import Run, attempt, environment, run, script
from harness.kernel import process_status
from harness.node import archive, install, launchers
from harness.node.archive import EmptyRoot
from harness.node.install import SOURCE, Installed
from harness.node.requirements import program, requires

CTL, WRAPPER = "/opt/runc-wrap/bin/runc-wrapctl", "/opt/runc-wrap/bin/runc-wrap"
ENDED = 77
# A library for another libc: here one that ends whatever loads it, before main.
ENDS = "#include <unistd.h>\n__attribute__((constructor)) static void end(void) { _exit(77); }\n"
# What a create and the commands below may open beside their own installation: data, no code.
DATA = re.compile(
    r"/(proc|sys|run)(/.*)?|/dev/null|/etc/localtime|/usr/share/containers/seccomp.json|.*/bundle/.*"
)
COMMANDS = [["--version"], ["status"], ["verify"], ["metrics"]]
SHOW = ["/bin/cat", "/proc/self/status"]
# Imports whatever there is of runc-wrap, and what its packages import but may never use.
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path.append(sys.prefix + "/lib/python3.13/site-packages")
import runc_wrap
skipped = ("runc_wrap.launcher", "runc_wrap.agent.start")
for found in pkgutil.walk_packages(runc_wrap.__path__, "runc_wrap."):
    if not found.name.startswith(skipped):
        importlib.import_module(found.name)
for name in "asyncio hashlib tarfile urllib.request".split():
    importlib.import_module(name)
import pyseccomp
print(pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, "read") >= 0)
"""


def _bundle(path: Path) -> Bundle:
    return bundles.make(path, "runc").executing(*SHOW)


def _seccomp(done: Run) -> int:
    assert done.returncode == 0, done.stdout + done.stderr
    return process_status.seccomp_in(done.stdout)


@pytest.fixture(scope="module")
def root(native: Path, tmp_path_factory: pytest.TempPathFactory) -> EmptyRoot:
    requires("runc", "unshare", root=True)
    return archive.empty_root(native, tmp_path_factory.mktemp("empty") / "root")


def test_with_nothing_but_runc_beside_it_a_policy_is_applied_and_a_container_confined(
    root: EmptyRoot,
) -> None:
    assert root.run("/usr/bin/python3").returncode == 127  # chroot: there is none
    bundle = _bundle(root.path / "bundle")
    applied = root.run(CTL, "apply")
    assert applied.returncode == 0, applied.stderr
    explained = root.run(CTL, "explain", "/bundle/config.json", "--json")
    assert json.loads(explained.stdout)["action"] == "inject"
    words = ["--root", "/tmp/state", "run", "--bundle", "/bundle", bundle.name]
    assert _seccomp(root.run("/usr/sbin/runc", *words)) == 0
    assert _seccomp(root.run(WRAPPER, *words)) == 2


def test_with_nothing_beside_it_every_module_can_be_imported(root: EmptyRoot) -> None:
    python = "/opt/runc-wrap/lib/current/python"
    done = root.run(python, "-I", "-S", "-c", IMPORT_ALL)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_it_may_be_moved_even_to_a_path_with_blanks(unpacked: Installed, tmp_path: Path) -> None:
    requires("runc", root=True)
    unpacked.control("apply")
    moved = Installed(unpacked.prefix.rename(tmp_path / "another place"))
    bundle = _bundle(tmp_path / "bundle")
    assert _seccomp(bundle.call(moved.wrapper, "run")) == 2
    moved.control("apply")


def test_the_runtime_gets_the_environment_as_it_was(unpacked: Installed, tmp_path: Path) -> None:
    requires("runc", root=True)
    unpacked.control("apply")
    shown = tmp_path / "shown"
    runtime = script(tmp_path / "runtime", f"/usr/bin/env -0 | /usr/bin/sort -z > {shown}")
    install.use_runtime(unpacked, runtime)
    bundle = _bundle(tmp_path / "bundle")
    given = {"PATH": "/usr/bin", "A": "b c"}
    subprocess.run(bundle.argv(unpacked.wrapper, "create"), env=given, check=True)
    told = dict(item.split("=", 1) for item in shown.read_text().split("\0")[:-1])
    assert {name: told[name] for name in told if name not in ("PWD", "_", "OLDPWD")} == given
    assert bundle.read()["linux"]["seccomp"]


def test_from_a_read_only_mount_it_works_with_etc_and_var_elsewhere(
    unpacked: Installed, tmp_path: Path
) -> None:
    requires("runc", "unshare", root=True)
    for name in ("etc", "var"):
        (unpacked.prefix / name).rename(tmp_path / name)
        (unpacked.prefix / name).symlink_to(tmp_path / name)
    (tmp_path / "var" / "runtime").mkdir()
    (unpacked.prefix / "lib" / "runtime").symlink_to(tmp_path / "var" / "runtime")
    bundle = _bundle(tmp_path / "bundle")
    read_only = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    inside = ["unshare", "--mount", "--propagation", "private", "sh", "-c", read_only, "sh"]
    inside.append(str(unpacked.prefix))
    assert attempt([*inside, "touch", unpacked.prefix / "x"]).returncode == 1
    run([*inside, unpacked.ctl, "apply"])
    assert _seccomp(bundle.call(unpacked.wrapper, "run", before=inside)) == 2


def _install(unpacked: Installed, prefix: Path, *words: str, before: Sequence[str] = ()) -> Run:
    options: list[str | Path] = ["--prefix", prefix, *install.OPTIONS]
    return attempt([*before, unpacked.prefix / "install.sh", *options, *words], seconds=120)


def test_what_install_sh_has_installed_does_without_the_unpacked_archive(
    unpacked: Installed, tmp_path: Path
) -> None:
    """Without Python, compiler and network: tests/boxes/test_install.py."""
    requires("runc", root=True)
    prefix = tmp_path / "p"
    done = _install(unpacked, prefix)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(unpacked.prefix.rename(tmp_path / "gone"))
    bundle = _bundle(tmp_path / "bundle")
    assert _seccomp(bundle.call(prefix / "bin" / "runc-wrap", "run")) == 2
    for definition in prefix.glob("hooks/*.d/*.json"):
        assert json.loads(definition.read_text())["hook"]["path"].startswith(f"{prefix}/hooks/")


def test_install_sh_refuses_what_is_for_a_checkout_and_a_damaged_archive(
    unpacked: Installed, tmp_path: Path
) -> None:
    done = _install(unpacked, tmp_path / "p", "--python", "/usr/bin/python3")
    assert (done.returncode, "are for a checkout" in done.stderr) == (1, True)
    (unpacked.release / "hotpath" / "cold.py").write_text("nonsense\n")
    damaged = _install(unpacked, tmp_path / "p")
    assert damaged.returncode == 1
    assert "is not as it was packed; unpack the archive again" in damaged.stderr
    assert not (tmp_path / "p").exists()


@pytest.fixture
def idle(native: Path, tmp_path: Path) -> EmptyRoot:
    """A root whose runc is a program that does nothing and needs no library."""
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
def test_ld_so_preload_stops_no_create(idle: EmptyRoot, named: str, others: int) -> None:
    _library(idle.path / "ends.so")
    (idle.path / "etc").mkdir()
    (idle.path / "etc" / "ld.so.preload").write_text(f"{named}\n")
    program_of_the_node = idle.run("/usr/sbin/runc", "--version")
    assert program_of_the_node.returncode == others
    assert others or "cannot be preloaded" in program_of_the_node.stderr
    bundle = bundles.make(idle.path / "bundle", "runc")
    created = idle.run(WRAPPER, "create", "--bundle", "/bundle", "ID")
    assert (created.returncode, created.stdout, created.stderr) == (0, "", "")
    assert bundle.read()["linux"]["seccomp"]


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
