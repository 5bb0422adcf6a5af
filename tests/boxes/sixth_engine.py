"""What runc-wrap has to know of a sixth engine, which exists only in the tests.

Run as a program this is runc-wrapctl that knows this engine. What the engine does itself is in
sixth_program.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from runc_wrap.host import engine_names

NAMES = engine_names.EngineNames("sixth", "sixth", "moby", is_users=True)
engine_names.KNOWN[NAMES.name] = NAMES  # before the modules that read it are imported

from runc_wrap.engines import engine_registry, probe_container  # noqa: E402
from runc_wrap.engines.dependent_container import Dependent  # noqa: E402
from runc_wrap.engines.engine_class import RESTART, SHORT, Engine, Reload  # noqa: E402
from runc_wrap.engines.engine_files import Tree  # noqa: E402
from runc_wrap.engines.handler import CallFailed, EngineError, Facts, Handler  # noqa: E402
from runc_wrap.engines.probe_container import CANARY, Probe, Started  # noqa: E402
from runc_wrap.engines.toml_text import Saved  # noqa: E402
from runc_wrap.host import program  # noqa: E402
from tests.boxes.sixth_program import STATE  # noqa: E402


class Sixth(Engine):
    """What runc-wrap asks of it."""

    names = NAMES
    usual = Path("/etc/sixth/sixth.conf")
    usual_socket = STATE / "socket"
    units = ("sixth.service",)
    client = "sixth"

    @classmethod
    def render(cls, tree: Tree, config: Path, handlers: list[Handler], facts: Facts) -> None:
        """Add the lines of handlers."""
        del facts
        text = tree.text(config)
        for one in handlers:
            if f"runtime {one.name} " in text:
                raise EngineError(f"{config}: {one.name} is taken; try: --handler")
            text += f"runtime {one.name} {one.path}\n"
            text += f"default {one.name}\n" * one.default
        tree.put(config, text)

    @staticmethod
    def without_ours(text: str, saved: Saved, where: str) -> str:
        """Take the lines of handlers out."""
        del where
        ours = {*saved.after.splitlines()} - {*(saved.before or "").splitlines()}
        return "".join(f"{line}\n" for line in text.splitlines() if line not in ours)

    def check_command(self) -> list[str] | None:
        """Return what reads the file."""
        return [str(self.binary), "show", str(self.config)] if self.binary else None

    def reload(self, *, loses_default: bool = False) -> Reload:
        """Return a restart."""
        del loses_default
        return RESTART

    def in_force(self) -> dict[str, str] | None:
        """Return what its file says."""
        return self._shown(str(self.config))[1]

    def running(self) -> dict[str, str] | None:
        """Return what it read when it was started."""
        return self._shown(str(STATE / "loaded"))[1]

    def default(self) -> str | None:
        """Return what it read when it was started."""
        return self._shown(str(STATE / "loaded"))[0]

    def _shown(self, path: str) -> tuple[str | None, dict[str, str] | None]:
        printed = program.output(str(self.binary), "show", path)
        shown: tuple[str | None, dict[str, str] | None] = json.loads(printed or "[null, null]")
        return shown

    def silence(self) -> str:
        """Return that it has read no file."""
        return "" if (STATE / "loaded").exists() else "it does not run"

    def running_version(self) -> str | None:
        """Return the program's."""
        return self.version

    def needing(self, path: Path) -> Iterator[Dependent]:
        """Yield its containers of this handler."""
        for line in (program.output(str(self.binary), "list") or "").splitlines():
            name, handler = line.split()
            if handler == path.name:
                yield Dependent(self.name, name, "running")

    def prepare_probes(self, directory: Path) -> None:
        """Make a root file system."""
        probe_container.write_rootfs(directory)

    def start_probe(self, probe: Probe, directory: Path) -> Started:
        """Run the idle program; a request's variables are in its client's environment."""
        default, caps = "default" if probe.token else "none", ",".join(sorted(probe.caps))
        words = ("run", probe.purpose, probe.handler, default, caps, str(directory))
        environment = {**program.made_environment(), **probe.variables}
        idle = f"/{probe_container.PROGRAM}"
        done = program.run(str(self.binary), *words, idle, seconds=SHORT, environment=environment)
        return Started(probe.purpose if done.is_well else "", done.said)

    def left_probes(self, purpose: str = CANARY) -> list[str]:
        """Return the one that there may be."""
        listed = program.output(str(self.binary), "list")
        if listed is None:
            raise CallFailed("sixth does not list its containers")
        return [purpose] if f"{purpose} " in listed else []

    def remove_probes(self, purpose: str = CANARY) -> None:
        """Remove it."""
        for name in self.left_probes(purpose):
            program.run(str(self.binary), "remove", name, seconds=SHORT)


engine_registry.ENGINES[NAMES.name] = Sixth

if __name__ == "__main__":
    from runc_wrap.cli.entry_point import start

    start()
