"""The interpreter of a release: Debian's, with libraries, loader and what we use of its modules.

It lies as a virtual environment would: VENV/bin/python, VENV/lib/python3.13 with site-packages.

The ways are closed in which its loader and C library would read the node's. glibc is built with the
paths of Debian's libraries, locales and modules. On a node those are of another glibc, or of nobody
we know: /etc/ld.so.preload, which monitoring agents write, may name a library that this glibc
refuses, and no container would start; a name service or a character set would be a foreign library
in our process. Each path is overwritten by one of the same length that exists on no machine. There
is no option for any of it, and the environment must not change.
"""

import shutil
from pathlib import Path

from deploy.archive.debian_packages import Package
from deploy.archive.machines import Machine

OWN = Path(__file__).parent / "node"
VERSION = "python3.13"
LIBRARIES = {  # library -> its package
    "libc.so.6": "libc6",
    "libexpat.so.1": "libexpat1",
    "libffi.so.8": "libffi8",
    "libgcc_s.so.1": "libgcc-s1",  # glibc loads it when a thread ends before its function
    "libm.so.6": "libc6",
    "libpthread.so.0": "libc6",  # wheels name it still; empty since glibc 2.34
    "libseccomp.so.2": "libseccomp2",
    "libz.so.1": "zlib1g",
}
# Of lib-dynload; the others need libraries that we do not have, or are tests.
EXTENSIONS = """_asyncio _contextvars _ctypes _decimal _interpchannels _interpqueues _interpreters
_multiprocessing _posixshmem _queue _zoneinfo mmap resource termios""".split()
# What neither runc-wrap nor its packages import: other systems, other programs, the network.
LEFT_OUT = """EXTERNALLY-MANAGED LICENSE.txt __phello__ _aix_support.py _android_support.py
_apple_support.py _ios_support.py _osx_support.py _pyrepl _sysconfigdata_*.py antigravity.py curses
dbm encodings ensurepip ftplib.py idlelib imaplib.py lib-dynload lib2to3 mailbox.py poplib.py
pydoc_data sitecustomize.py smtplib.py sqlite3 ssl.py test this.py tkinter turtle.py turtledemo
unittest venv webbrowser.py xmlrpc""".split()
# A directory, where the interpreter looks first. Each start of it needs encodings and nothing else
# of the library; alone in a directory, without sources, it is found 0.2 ms sooner (measurements).
FIRST = "python313.zip"
PROGRAMS = ("python", "runc-wrapctl")  # each one is start.c under that name
_STAND_INS = ("sitecustomize.py", "ssl.py")
_NOTICE = (
    "ld.so and libc.so.6 are changed by deploy/archive/interpreter.py: the paths of ld.so.preload "
    "and of the node's libraries, locales and character sets are overwritten; none is found."
)
_PRELOAD = "/etc/ld.so.preload"
_LIBRARIES = ("/lib/{0}-linux-gnu/", "/usr/lib/{0}-linux-gnu/", "/lib/", "/usr/lib/")
_C_LIBRARY = (
    "/usr/lib/locale",
    "/usr/lib/locale/locale-archive",
    "/usr/share/locale",
    "/usr/lib/{0}-linux-gnu/gconv",
    "/usr/lib/{0}-linux-gnu/gconv/gconv-modules.cache",
)
_NOWHERE = "/proc/0/"  # no process has this number
_SHORT = "/sys/"  # nobody can make a file in sysfs
# What is changed of a package: its licence asks for a notice, and the SBOM has it too.
CHANGES = {
    "libc6": _NOTICE,
    "libpython3.13-stdlib": (
        "Not all modules are in the archive (deploy/archive/interpreter.py has the list); "
        f"{', '.join(_STAND_INS)} and ctypes/util.py are runc-wrap's own."
    ),
}


def lay(venv: Path, machine: Machine, packages: dict[str, Package], start: Path) -> None:
    """Lay it out in `venv`; `start` is start.c's program for the machine."""
    _standard_library(venv / "lib" / VERSION, packages)
    _encodings(venv / "lib" / FIRST, packages)
    _private(venv / "lib" / "private", machine, packages)
    (venv / "bin").mkdir()
    for name in PROGRAMS:
        shutil.copy(start, venv / "bin" / name)
        (venv / "lib" / "private" / name).symlink_to("ld.so")
    shutil.copy(OWN / "start_command.py", venv / "lib" / "private" / "runc-wrapctl.py")
    for name in ("python3", VERSION):
        (venv / "bin" / name).symlink_to("python")


def _standard_library(target: Path, packages: dict[str, Package]) -> None:
    for name in ("libpython3.13-minimal", "libpython3.13-stdlib"):
        library = packages[name].tree / "usr" / "lib" / VERSION
        ignored = shutil.ignore_patterns("__pycache__", *LEFT_OUT)
        shutil.copytree(library, target, ignore=ignored, dirs_exist_ok=True)
    (target / "lib-dynload").mkdir()
    for name in EXTENSIONS:
        (found,) = (library / "lib-dynload").glob(f"{name}.cpython-*.so")
        shutil.copy(found, target / "lib-dynload")
    for name in _STAND_INS:
        shutil.copy(OWN / name, target)
    shutil.copy(OWN / "ctypes_util.py", target / "ctypes" / "util.py")


def _encodings(target: Path, packages: dict[str, Package]) -> None:
    """Copy encodings, but for those whose tables need an extension: East Asian ones."""
    for name in ("libpython3.13-minimal", "libpython3.13-stdlib"):
        for source in (packages[name].tree / "usr" / "lib" / VERSION / "encodings").glob("*.py"):
            if "_codecs_" not in source.read_text():
                (target / "encodings").mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target / "encodings")


def _private(target: Path, machine: Machine, packages: dict[str, Package]) -> None:
    target.mkdir(parents=True)
    loader = packages["libc6"].tree / machine.libraries / machine.loader
    shutil.copy(loader.resolve(), target / "ld.so")
    (target / machine.loader).symlink_to("ld.so")  # some libraries name it
    shutil.copy(packages["python3.13-minimal"].tree / "usr" / "bin" / VERSION, target / "cpython")
    for library, name in LIBRARIES.items():
        directory = packages[name].tree / machine.libraries
        shutil.copy((directory / library).resolve(), target / library)
    _isolate(target, machine)


def _isolate(private: Path, machine: Machine) -> None:
    """Overwrite the paths in the loader and C library in `private`. Raises SystemExit."""
    texts = {"ld.so": ("\0".join(_LIBRARIES), _PRELOAD), "libc.so.6": _C_LIBRARY}
    for name, paths in texts.items():
        content = (private / name).read_bytes()
        for path in paths:
            content = closed(content, path.format(machine.kernel))
        (private / name).write_bytes(content)


def closed(content: bytes, paths: str) -> bytes:
    """Return a file's content without paths, which stand in it with a NUL after each."""
    there = f"{paths}\0".encode()
    if there not in content:
        raise SystemExit(f"{paths!r} is not in Debian's libc6 any more; look for it")
    nowhere = "\0".join(_nowhere(path) for path in paths.split("\0"))
    return content.replace(there, f"{nowhere}\0".encode())


def _nowhere(path: str) -> str:
    if len(path) < len(_NOWHERE):
        return _SHORT.ljust(len(path), "/")
    return _NOWHERE + path[len(_NOWHERE) :]
