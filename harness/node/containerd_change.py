"""Changes of containerd's registration on a machine, and what they may leave."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from harness.host.processes import wait_until
from harness.node.guest import PAUSE, PREFIX, Guest, Node

CONFIG = "/etc/containerd/config.toml"
# Seconds: canaries are removed one minute after a boot, and if containerd is not ready then, as on
# a machine that gets little of its processor, five minutes later.
BACK = 900
# Second names, units and timers of a change that is not over.
LEFT = f"""
find /etc {PREFIX}/var -maxdepth 1 -name '.runc-wrap-*'
find /etc/systemd/system -name 'runc-wrap-revert*'
systemctl list-timers --all --no-legend 'runc-wrap-revert-*'
"""
# And the engines' files and our records.
STATE = rf"""
find /etc/containerd /etc/docker {PREFIX}/var/engines -type f -exec sha256sum {{}} + | sort
{LEFT}
"""
UNFINISHED = f"! ls {PREFIX}/var/changes/*.json"
# Whether our handler is in a file: containerd 2 has it in one of its own.
NEW = f"grep -qr {PREFIX}/bin/runc-wrap /etc/containerd"
_AGAIN = "runc-wrapctl engine add containerd; systemctl restart containerd"


def changed(node: Node, action: str, *words: str) -> tuple[int, Any]:
    """Add or remove the handler with --restart; return the exit status and what was told."""
    done = node.ctl("engine", action, "containerd", "--restart", "--json", *words, seconds=600)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def is_new(machine: Guest) -> bool:
    """Tell whether the engine's files have our handler."""
    return machine.attempt(NEW).returncode == 0


@contextlib.contextmanager
def unregistered(node: Node) -> Iterator[str]:
    """Yield STATE without us in containerd; afterwards we are there again."""
    node.configure("")
    code, told = changed(node, "remove")
    assert code == 0, told
    assert not is_new(node.machine)
    node.machine.sh("sync")
    yield node.machine.sh(STATE)
    if not is_new(node.machine):
        node.machine.sh(_AGAIN)


def answers_as_before(machine: Guest, before: str) -> None:
    """See that nothing is left of a change, and that the engine answers."""
    assert machine.sh(STATE) == before
    answers(machine)


def answers(machine: Guest) -> None:
    """See that no change is unfinished, and that the engine answers."""
    assert machine.attempt(UNFINISHED).returncode == 0
    assert machine.sh("systemctl is-active containerd") == "active\n"
    assert machine.attempt("ctr version").returncode == 0


def wait_as_before(machine: Guest, before: str) -> None:
    """Wait for what the boot, and a timer after it, take back."""
    wait_until(lambda: machine.sh(STATE) == before, "what the boot takes back", BACK, pause=PAUSE)
    answers_as_before(machine, before)
    said = machine.sh("journalctl -b --no-pager -o cat -u runc-wrap-revert.service")
    assert f"taken back: add runc-wrap in {CONFIG}" in said
