"""runc-wrapctl profile list, profile show; capture is in profile_capture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runc_wrap import safe_text
from runc_wrap.cli import output, profile_capture
from runc_wrap.engines.capture import capture_store
from runc_wrap.host import engine_names
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.decision import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.hotpath.identity import UNKNOWN
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.policy import policy_compiler
from runc_wrap.policy.settings import policy_sources
from runc_wrap.profiles import builtin, captured_profile, platform
from runc_wrap.profiles.json_profiles import profile_files
from runc_wrap.profiles.profile_compiler import compile_profile

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places


@click.group()
def profile() -> None:
    """List profiles, show one as a container gets it, or capture an engine's own."""


profile.add_command(profile_capture.capture)


@profile.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def list_(places: Places, *, as_json: bool) -> None:
    """List the built-in profiles and your own, and the engines that each is runtime-default of."""
    rows = _rows(places)
    if as_json:
        output.document(rows)
    else:
        cells = [(r["name"], r["source"], ", ".join(r["runtime_default_of"])) for r in rows]
        output.table(("profile", "from", "runtime-default of"), cells)


def _rows(places: Places) -> list[dict[str, Any]]:
    in_force = policy_file.load(str(places.prefix))["runtime_default"]
    own = policy_sources.profiles(*places.sources())
    sources = dict.fromkeys(builtin.names(), "built in")
    sources |= {name: _source(name) for name in in_force.values()}
    sources |= {LOCALHOST + name: str(path) for name, path in sorted(own.items())}
    return [
        {"name": name, "source": source, "runtime_default_of": _engines(in_force, name)}
        for name, source in sources.items()
    ]


def _source(name: str) -> str:
    if captured_profile.MARK in name:
        return "captured from the engine"
    return "this node's seccomp.json" if name == policy_compiler.SYSTEM else "built in"


def _engines(in_force: dict[str, str], name: str) -> list[str]:
    return [engine for engine, profile in in_force.items() if profile == name]


def _capabilities(_context: click.Context, _option: click.Parameter, given: str) -> frozenset[str]:
    words = [word.strip().upper() for word in given.split(",") if word.strip()]
    if words == ["ALL"]:
        return frozenset(CAPABILITIES)
    names = frozenset(word if word.startswith("CAP_") else f"CAP_{word}" for word in words)
    unknown = sorted(names - set(CAPABILITIES))
    if unknown:
        raise click.BadParameter(f"{safe_text.lines(', '.join(unknown))}: no such capability")
    return names


@profile.command()
@click.argument("name")
@click.option(
    "--caps",
    default="",
    callback=_capabilities,
    help="The container's bounding set: NET_ADMIN,SYS_TIME or ALL.  [default: none]",
)
@click.option(
    "--arch",
    default=platform.goarch,
    help="Architecture by its name in Go: amd64, arm64.  [default: this machine's]",
)
@click.option(
    "--engine",
    type=click.Choice([*engine_names.KNOWN, UNKNOWN]),
    default=UNKNOWN,
    help="The engine whose runtime-default is shown.",
)
@click.option("--json", is_flag=True, expose_value=False, help="Is always so: one JSON document.")
@click.pass_obj
def show(places: Places, name: str, caps: frozenset[str], arch: str, engine: str) -> None:
    """Print the linux.seccomp object that a container with these capabilities gets.

    NAME is runtime-default, a built-in profile with or without a version (containerd@1.7.24), an
    engine's captured one (containerd@captured) or localhost/<file>.
    """
    if name == RUNTIME_DEFAULT:
        name = policy_file.load(str(places.prefix))["runtime_default"][engine]
    own = policy_sources.read_profiles(*places.sources())
    captured = capture_store.read(places) if captured_profile.MARK in name else {}
    loaded = policy_compiler.load(name, own, profile_files.system(), captured)
    compiled = compile_profile(loaded, arch=arch, kernel=platform.kernel())
    output.document(resolve(compiled, caps))
