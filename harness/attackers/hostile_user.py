"""Any local user of the node: no capability, no group, uid 4242."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UID = 4242
AS_USER = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all"]

# Locks every file that the user can open beneath DIR, prints their number, and holds the locks.
_LOCK = """
import fcntl, os, sys, time
held = []
def take(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held.append(fd)
    except OSError:
        pass
for where, directories, names in os.walk(sys.argv[1]):
    if where.endswith("/lib/releases"):
        directories.clear()
    for path in (where, *(os.path.join(where, name) for name in names)):
        take(path)
print(len(held), flush=True)
time.sleep(1000)
"""


@contextmanager
def locking_all_he_can(directory: Path) -> Iterator[int]:
    """Hold a lock on every file beneath a directory that the user can open; yield their number."""
    python = os.path.realpath("/usr/bin/python3")
    argv = [*AS_USER, python, "-I", "-c", _LOCK, str(directory)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def own(*paths: Path) -> None:
    """Give these to the user."""
    for path in paths:
        os.chown(path, UID, UID, follow_symlinks=False)
