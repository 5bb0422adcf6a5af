"""Builds the launcher into the package; all else stands in pyproject.toml.

Without a C compiler the package is built all the same, without it: install.sh then takes the
launcher that is a shell script.
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
STRICT = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]


def compile_launcher(program: Path) -> bool:
    """Compile the launcher to `program`, static if the C library allows; tell whether it worked."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        return False
    sources = sorted(map(str, LAUNCHER.glob("*.c")))
    for linking in (["-static"], []):
        words = [*compiler.split(), *STRICT, *linking, "-o", str(program), *sources]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except OSError:
            return False
        if done.returncode == 0:
            return True
    sys.stderr.write(done.stderr)
    return False


class BuildLauncher(build_py):
    """Puts the compiled launcher beside its sources in what is built, never into the checkout."""

    def run(self) -> None:
        """Build the modules, then the program."""
        super().run()
        if self.editable_mode:
            return
        program = Path(self.build_lib) / LAUNCHER / "runc-wrap"
        program.unlink(missing_ok=True)  # of a build before
        if not compile_launcher(program):
            sys.stderr.write("runc-wrap: no C compiler: the launcher is not built.\n")


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
