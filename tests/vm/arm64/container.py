"""A container run by runc or crun on the arm64 machine, with programs of one call each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.containers import bundles, one_call
from harness.engines.images import DIRECTORIES
from harness.kernel import process_status
from harness.node.guest import Guest

ROOTFS = "/root/rootfs"
STATE = "/run/runtime"
_APPLETS = "sh sleep cat"
_FILL = f"""
cd {ROOTFS}; mkdir -p {" ".join(DIRECTORIES)}; cp /usr/bin/busybox bin
for name in {_APPLETS}; do ln -s busybox bin/$name; done
"""
_CREATE = f"""
cd "/root/$2"; runtime="$1 --root {STATE} --log log"
$runtime create --bundle . --pid-file pid "$2" </dev/null >/dev/null 2>&1 && $runtime start "$2" ||
    {{ cat log >&2; exit 1; }}
cat "/proc/$(cat pid)/status"
"""
# Prints each program's name and exit status.
_MAKE_CALLS = (
    'for one in /calls/*; do status=0; "$one" || status=$?; echo "${one##*/} $status"; done'
)


def fill_rootfs(guest: Guest, directory: Path) -> None:
    """Make the containers' root directory on the machine; `directory` is for files on the way."""
    for abi, calls in one_call.CALLS.items():
        for name in calls:
            file = directory / f"{abi}-{name}"
            file.write_bytes(one_call.program(abi, name))
            file.chmod(0o755)
    guest.copy_in(sorted(directory.iterdir()), f"{ROOTFS}/calls")
    guest.sh(_FILL)


@dataclass(frozen=True)
class Container:
    """A container named NAME of the bundle /root/NAME; a test deletes it."""

    guest: Guest
    name: str

    @property
    def config(self) -> str:
        return f"/root/{self.name}/config.json"

    def read(self) -> dict[str, Any]:
        """Return its config as it is now."""
        found: dict[str, Any] = self.guest.json('cat "$1"', self.config)
        return found

    def write(self, config: Mapping[str, Any]) -> None:
        """Write its config; the bundle need not be there."""
        words = [f"/root/{self.name}", self.config, json.dumps(config)]
        self.guest.sh('mkdir -p "$1"; printf %s "$3" > "$2"', *words)

    def start(self, runtime: str) -> int:
        """Create and start it; return its first process' Seccomp: in the kernel."""
        status = self.guest.sh(_CREATE, runtime, self.name)
        return process_status.seccomp_in(status)

    def calls(self, runtime: str) -> dict[str, int]:
        """Make each call in it; return what became of them, by ABI-NAME: an error number, or 0."""
        script = f'"$1" --root {STATE} exec "$2" sh -c "$3"'
        lines = self.guest.sh(script, runtime, self.name, _MAKE_CALLS).splitlines()
        return {name: int(status) for name, status in (line.split() for line in lines)}

    def delete(self, runtime: str) -> None:
        self.guest.sh(f'"$1" --root {STATE} delete --force "$2"', runtime, self.name)


def container(guest: Guest, name: str) -> Container:
    """Write a bundle without seccomp, whose container sleeps."""
    made = Container(guest, name)
    config = bundles.config(name)
    config["root"]["path"] = ROOTFS
    made.write(config)
    return made
