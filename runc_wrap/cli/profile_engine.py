"""The option of profile commands that says whose runtime-default is meant."""

import click

from runc_wrap.host import engine_names
from runc_wrap.hotpath.container_identity import UNKNOWN

engine = click.option(
    "--engine",
    type=click.Choice([*engine_names.KNOWN, UNKNOWN]),
    default=UNKNOWN,
    help="The engine whose runtime-default is meant.",
)
