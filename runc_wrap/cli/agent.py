"""runc-wrapctl agent: its two services, in the foreground."""

import os
from collections.abc import Mapping

import click

from runc_wrap.agent import descriptor_store, start_command, systemd_protocol
from runc_wrap.failure import Failure
from runc_wrap.host import systemd
from runc_wrap.node.paths import Places

# glibc keeps the memory that a large config needed unless its thresholds are fixed (mallopt(3)). A
# usual request takes some 140 KB; returning that each time would cost it 0.05 ms.
_FRUGAL = {
    b"MALLOC_ARENA_MAX": b"1",
    b"MALLOC_TRIM_THRESHOLD_": b"524288",
    b"MALLOC_MMAP_THRESHOLD_": b"1048576",
}


@click.group()
def agent() -> None:
    """Run a service of the agent, in the foreground: decide or observe.

    Both are optional. systemd starts them by the units runc-wrap-decide and runc-wrap-observe; any
    other supervisor may run the same commands. SIGTERM ends them.
    """


@agent.command()
@click.pass_obj
def decide(places: Places) -> None:
    """Decide creates without starting Python for each.

    Without this service each create takes some milliseconds longer.
    """
    _become(places, "decide")


@agent.command()
@click.option(
    "--without-descriptor-store", is_flag=True, help="Take containers in observe all the same."
)
@click.pass_obj
def observe(places: Places, *, without_descriptor_store: bool) -> None:
    """Record evidence, answer the calls of containers in observe, write the metrics.

    Where the supervisor keeps no descriptors (FileDescriptorStoreMax= of systemd), containers
    decided as observe get audit instead. With --without-descriptor-store they are taken; if this
    service ends, their calls fail with ENOSYS.
    """
    environment = {os.fsencode(systemd.KEPT): b"%d" % systemd.kept_descriptors(os.environ)}
    if without_descriptor_store:
        environment[descriptor_store.ANYWAY] = b"1"
    _become(places, "observe", environment)


def _become(places: Places, role: str, environment: Mapping[bytes, bytes] | None = None) -> None:
    """Replace this process by a service of the installed release."""
    if os.geteuid() != 0:
        raise Failure("The agent answers root's creates; run it as root.")
    words = start_command.command_anew(str(places.prefix), role)
    handed = systemd_protocol.received(os.environb)
    variables = {**_FRUGAL, **os.environb, **(environment or {})}
    systemd_protocol.become(words, handed, variables)
