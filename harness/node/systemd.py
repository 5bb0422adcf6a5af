"""A real systemd as a user's manager: it keeps descriptors, watches and restarts as pid 1 does.

It runs as root with a runtime directory of its own, in a mount namespace in which only /run/systemd
is another, since it refuses to run where systemd is not pid 1. It starts in a fifth of a second.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.host.processes import Daemon, attempt, environment, run, short_directory
from harness.node.requirements import program, requires

_SYSTEMD = "/lib/systemd/systemd"
_BEGIN = """mount -t tmpfs runc-wrap-test /run/systemd && mkdir /run/systemd/system &&
{ [ -z "$1" ] || mount -t cgroup2 runc-wrap-test /sys/fs/cgroup; } &&
exec "$0" --user --unit=basic.target --log-target=console"""
_UNIFIED = 258  # the first version that runs only with cgroup v2


@dataclass(frozen=True)
class Manager:
    """A running manager; `place` is its runtime directory, which has its units, too."""

    place: Path
    daemon: Daemon

    @classmethod
    @contextlib.contextmanager
    def running(cls, units: Mapping[str, str]) -> Iterator["Manager"]:
        """Run one with these units, by their files' names; all that it started ends with it."""
        requires("systemctl", "unshare", _SYSTEMD, root=True)
        Path("/run/systemd").mkdir(exist_ok=True)
        with short_directory("systemd") as place:
            (place / "systemd" / "user").mkdir(parents=True)
            for name, text in units.items():
                (place / "systemd" / "user" / name).write_text(text)
            apart = [program("unshare"), "--mount", "--propagation", "slave"]
            words = [*apart, "/bin/sh", "-c", _BEGIN, _SYSTEMD, "unified" if _is_unified() else ""]
            with Daemon(words, place / "log", cls._environment(place)) as daemon:
                manager = cls(place, daemon)
                daemon.wait_ready(manager._answers, "systemd")
                yield manager

    @staticmethod
    def _environment(place: Path) -> dict[str, str]:
        return environment(XDG_RUNTIME_DIR=str(place), XDG_CONFIG_HOME=str(place))

    def _answers(self) -> bool:
        words = [program("systemctl"), "--user", "show", "--property=Version"]
        return attempt(words, env=self._environment(self.place)).returncode == 0

    def control(self, verb: str, *words: str) -> str:
        """Run systemctl and return what it prints; a failure raises."""
        argv = [program("systemctl"), "--user", verb, *words]
        return run(argv, env=self._environment(self.place)).stdout

    def property(self, unit: str, name: str) -> str:
        """Return the value of one property of a unit."""
        return self.control("show", f"--property={name}", "--value", unit).strip()


def _is_unified() -> bool:
    version = run([_SYSTEMD, "--version"]).stdout.split()[1]  # "systemd 257 (257.13-1~deb13u1)"
    return int(version.split(".")[0].split("~")[0]) >= _UNIFIED
