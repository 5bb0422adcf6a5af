"""Builds the launcher into the package; all else stands in pyproject.toml.

Where it cannot be compiled the package is built all the same, with the reason in its place: the
kubectl plugin needs no launcher, and install.sh refuses such a package with that reason.
"""

import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

LAUNCHER = Path("runc_wrap/launcher")
REASON = "not-built"  # a file: one line, and behind it the compiler's own words
FLAGS = ["-std=gnu11", "-O2"]  # a warning that only a newer compiler has must cost nobody the agent
# Costs nothing that can be measured. musl has no _FORTIFY_SOURCE, and leaves the relro of a static
# program writable: 208 bytes without position-independent code, and no table of ours.
HARDENED = [
    "-fstack-protector-strong",
    "-U_FORTIFY_SOURCE",  # some distributions' compilers have it set
    "-D_FORTIFY_SOURCE=2",
    "-Wl,-z,relro,-z,now",
    "-Wl,-z,noexecstack",
]
STATIC = ["-static", "-fno-pie", "-no-pie"]  # static-pie adds 8 us to each call: measurements.md
DYNAMIC = ["-fPIE", "-pie"]


def compile_launcher(program: Path) -> str:
    """Compile the launcher to `program`; return why that failed in the end, or ""."""
    failed = "there is no C compiler (cc or gcc)\n"
    with tempfile.TemporaryDirectory() as headers:
        made = runpy.run_path(str(LAUNCHER / "shared_words.py"))["header"]()
        (Path(headers) / "shared_words.h").write_text(made)
        for compiler, flags in ways():
            failed = failure(compiler, [*FLAGS, *flags, "-I", headers, "-o", str(program)])
            if not failed:
                break
    return failed


def ways() -> Iterator[tuple[str, list[str]]]:
    """Yield compilers and their flags: hardened if it can be, and the fastest launcher first.

    glibc asks the processor what it is before main, by some 60 instructions that a virtual machine
    traps: a static launcher with it adds 0.35 ms to each call here, with musl 0.08 ms.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    is_musl = not os.environ.get("CC") and shutil.which("musl-gcc")
    for hardened in (HARDENED, []):
        if is_musl:
            yield "musl-gcc", [*hardened, *STATIC]
        if compiler:
            yield compiler, [*hardened, *STATIC]
            yield compiler, [*hardened, *DYNAMIC]
    if compiler:
        yield compiler, []  # one that does not know the words for position-independent or not


def failure(compiler: str, words: list[str]) -> str:
    """Run a compiler on the sources; return why it failed, "" if it did not."""
    argv = [*compiler.split(), *words, *sorted(map(str, LAUNCHER.glob("*.c")))]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        return f"the C compiler {compiler} cannot be executed: {error.strerror}\n"
    if done.returncode == 0:
        return ""
    return f"the C compiler {compiler} failed with status {done.returncode}\n{done.stderr}"


class BuildLauncher(build_py):
    """Puts the launcher beside its sources in what is built, never into the checkout."""

    def run(self) -> None:
        """Build the modules, then the program."""
        super().run()
        if self.editable_mode:
            return
        program = Path(self.build_lib) / LAUNCHER / "runc-wrap"
        reason = program.with_name(REASON)
        for former in (program, reason):  # of a build before
            former.unlink(missing_ok=True)
        if told := compile_launcher(program):
            sys.stderr.write(f"runc-wrap: the launcher is not built: {told}")
            reason.write_text(told)


class PlatformWheel(bdist_wheel):
    """A wheel for this kind of machine and any Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tag that pip compares with the machine's."""
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        return "py3", "none", platform


class WithProgram(Distribution):
    """What setuptools asks to choose between any machine and this one."""

    def has_ext_modules(self) -> bool:
        """Tell that it is for this one."""
        return True


if __name__ == "__main__":
    commands = {"build_py": BuildLauncher, "bdist_wheel": PlatformWheel}
    setup(distclass=WithProgram, cmdclass=commands)
