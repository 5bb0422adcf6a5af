"""A container in `observe` that makes calls all the time, which its profile denies.

It makes 50 such calls, which the service lets continue, writes down how many of them ended as they
would without a profile, and begins again.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.vm.machine import wait
from tests.vm.node import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.node.guest import Guest

RUN = "docker run --detach --network none --security-opt seccomp=unconfined --runtime runc-wrap"
AS_USUAL = "50 of 50 failed with 95"  # EOPNOTSUPP: keyctl(99) came to the kernel
LOGGED = "docker logs calls | sort | uniq -c"
_WORK = "while :; do /repeat 50 1; sleep 0.2; done"


@dataclass(frozen=True)
class Calls:
    """The container, whose name is `calls`."""

    machine: Guest

    def rounds(self) -> int:
        """Return how many rounds of calls there were; fail if any call did not end as usual."""
        lines = self.machine.sh(LOGGED).splitlines()
        assert [line.split(None, 1)[1] for line in lines] in ([], [AS_USUAL]), lines
        return int(lines[0].split()[0]) if lines else 0

    def go_on(self) -> None:
        """Wait for two more whole rounds."""
        before = self.rounds()
        wait(lambda: self.rounds() > before + 1, "more calls")


@contextlib.contextmanager
def calls(machine: Guest) -> Iterator[Calls]:
    """Run the container, which the policy must put in `observe`."""
    machine.sh(f'{RUN} --name calls {IMAGE} sh -c "$1"', _WORK)
    made = Calls(machine)
    made.go_on()
    yield made
    machine.sh("docker rm -f calls >/dev/null")
