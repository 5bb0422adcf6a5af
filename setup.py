"""Builds the launcher into the package; all else stands in pyproject.toml.

Where it cannot be compiled the package is built all the same, with the reason in its place:
install.sh then takes the launcher that is a shell script, and says why, as `doctor` does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

LAUNCHER = Path("runc_wrap/launcher")
REASON = "not-built"  # a file: one line, and behind it the compiler's own words
FLAGS = ["-std=gnu11", "-O2"]  # a warning that only a newer compiler has must cost nobody the agent


def compile_launcher(program: Path) -> str:
    """Compile the launcher to `program`, static if the C library allows; return why not, or ""."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        return "there is no C compiler (cc or gcc)\n"
    sources = sorted(map(str, LAUNCHER.glob("*.c")))
    failed = ""
    for linking in (["-static"], []):
        words = [*compiler.split(), *FLAGS, *linking, "-o", str(program), *sources]
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, errors="replace", check=False
            )
        except OSError as error:
            return f"the C compiler {compiler} cannot be executed: {error.strerror}\n"
        if done.returncode == 0:
            return ""
        failed = f"the C compiler {compiler} failed with status {done.returncode}\n{done.stderr}"
    return failed


class BuildLauncher(build_py):
    """Puts the compiled launcher beside its sources in what is built, never into the checkout."""

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


setup(distclass=WithProgram, cmdclass={"build_py": BuildLauncher, "bdist_wheel": PlatformWheel})
