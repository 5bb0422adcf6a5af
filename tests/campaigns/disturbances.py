"""What happens beside creates: services that are killed, policies and releases that change.

Each is called again and again, from a thread of its own, while creates are made.
"""

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random

from harness.host.processes import repeating
from harness.node import agent, install
from harness.node.install import Installed

ENFORCE, AUDIT = "", '[default]\nmode = "audit"\n'
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)
_LONGEST = 0.2  # seconds between two disturbances
_STOPPED = 0.05  # seconds that a service is stopped


def repeated(disturb: Callable[[Random], None], chance: Random) -> AbstractContextManager[None]:
    """Disturb at random times until the end; an error in that is the caller's."""
    return repeating(lambda: disturb(chance), pause=lambda: chance.uniform(0, _LONGEST))


def of_services(installed: Installed) -> Callable[[Random], None]:
    """Kill, stop for a moment or end one of the agent's services, which systemd starts again."""

    def disturb(chance: Random) -> None:
        role = chance.choice(agent.ROLES)
        number = chance.choice(_SIGNALS)
        for pid in agent.processes(installed.prefix, role):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                if number == signal.SIGSTOP:
                    threading.Event().wait(_STOPPED)
                    os.kill(pid, signal.SIGCONT)

    return disturb


def of_policy(installed: Installed, runtime: str) -> Callable[[Random], None]:
    """Put one of two policies in force, by `runc-wrapctl apply`."""

    def disturb(chance: Random) -> None:
        installed.configure(f'runtime = ["{runtime}"]\n{chance.choice((ENFORCE, AUDIT))}')

    return disturb


def of_release(installed: Installed) -> Callable[[Random], None]:
    """Switch between two releases as install.sh does: the launcher beside, then the links."""
    releases = installed.prefix / "lib" / "releases"
    if releases.is_symlink():  # as before the first such batch
        install.lay_out_second(installed)
    names = [path.name for path in releases.iterdir()]

    def disturb(chance: Random) -> None:
        name = chance.choice(names)
        lib = installed.prefix / "lib"
        launcher = installed.wrapper.with_name("runc-wrap.new")
        shutil.copy2(releases / name / "runc-wrap", launcher)
        link = lib / "current.new"
        link.unlink(missing_ok=True)
        link.symlink_to(f"releases/{name}")
        link.replace(lib / "current")
        launcher.replace(installed.wrapper)

    return disturb
