"""runc-wrapctl version."""

from collections.abc import Iterator
from typing import Any

import click

from runc_wrap.cli import options, output
from runc_wrap.node import component_versions
from runc_wrap.node.paths import Places

Json = dict[str, Any]


@click.command()
@options.shows
def version(places: Places, *, as_json: bool) -> None:
    """Print the versions of runc-wrap, of its parts, and of this node's runtimes and kernel."""
    found = component_versions.gather(places)
    if as_json:
        output.document(found)
        return
    for name, value in _lines(found):
        output.say(f"{name:<12}{value}")


def _lines(found: Json) -> Iterator[tuple[str, str]]:
    python, library, launcher = found["python"], found["libseccomp"], found["launcher"]
    yield "runc-wrap", f"{found['release']} in {found['directory'] or found['prefix']}"
    yield "launcher", f"{launcher['kind'] or 'missing'} ({launcher['path']})"
    yield "python", f"{python['version']} ({python['path']}){', its own' * python['own']}"
    yield "libseccomp", f"{library['version']} ({library['path']})" if library else "not installed"
    yield "packages", ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    for one in found["runtimes"]:
        used = ", in force" if one["in_force"] else ""
        linked = f", libseccomp {one['libseccomp']}" if one["libseccomp"] else ""
        yield "runtime", f"{one['kind']} {one['version']} ({one['path']}){linked}{used}"
    yield "kernel", f"{found['kernel']} ({found['machine']})"
