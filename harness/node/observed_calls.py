"""A container in `observe` that makes calls all the time, which its profile denies.

It makes 50 such calls, which the service lets continue, writes down how many of them ended as they
would without a profile, and begins again.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from harness.node.guest import IMAGE, Guest, wait

RUN = "docker run --detach --network none --security-opt seccomp=unconfined --runtime runc-wrap"
AS_USUAL = "50 of 50 failed with 95"  # EOPNOTSUPP: keyctl(99) came to the kernel
# What a container said since its last start, each line once with how often it came.
_LOGGED = """
docker logs --since "$(docker inspect -f '{{.State.StartedAt}}' "$1")" "$1" | sort | uniq -c"""
LOGGED = _LOGGED.replace("$1", "calls")
_WORK = "while :; do /repeat 50 1; sleep 0.2; done"


@dataclass(frozen=True)
class Calls:
    machine: Guest
    name: str  # the container's

    def rounds(self) -> int:
        """Return how many rounds of calls there were; fail if any call did not end as usual."""
        lines = self.machine.sh(_LOGGED, self.name).splitlines()
        assert [line.split(None, 1)[1] for line in lines] in ([], [AS_USUAL]), lines
        return int(lines[0].split()[0]) if lines else 0

    def go_on(self) -> None:
        """Wait for two more whole rounds."""
        before = self.rounds()
        wait(lambda: self.rounds() > before + 1, "more calls")


@contextlib.contextmanager
def calls(machine: Guest, name: str = "calls", options: str = "") -> Iterator[Calls]:
    """Run the container, which the policy must put in `observe`."""
    machine.sh(f'{RUN} {options} --name {name} {IMAGE} sh -c "$1"', _WORK)
    made = Calls(machine, name)
    made.go_on()
    yield made
    machine.sh(f"docker rm -f {name} >/dev/null")
