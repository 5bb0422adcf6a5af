"""Buildah, which has no registration of its own: it is asked for its default profile only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runc_wrap.engines.engine_class import LONG, SHORT
from runc_wrap.engines.handler import CallFailed
from runc_wrap.engines.podman.podman_engine import Podman
from runc_wrap.engines.probe_container import CANARY, OWNER
from runc_wrap.host import engine_names
from runc_wrap.hotpath.privileged import CAPABILITIES

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.engines.probe_container import Probe

_NAMED = f"runc-wrap-{{}}-{OWNER}"


@dataclass(frozen=True)
class Buildah(Podman):
    """See Engine. It adds capabilities first, and then drops."""

    names = engine_names.BUILDAH
    client = "buildah"

    def probe_words(self, probe: Probe, run: list[str], directory: Path) -> list[str]:
        """Return those for a container made from scratch."""
        name = _NAMED.format(probe.purpose)
        self._done("from", "--name", name, "scratch", seconds=LONG)  # or the next command says why
        words = ["run", "--isolation", "oci", "--network", "none", "--runtime", probe.handler]
        words += [f"--cap-add={cap}" for cap in sorted(probe.caps)]
        words += [f"--cap-drop={cap}" for cap in sorted({*CAPABILITIES} - probe.caps)]
        variables = [word for variable in probe.variables for word in ("--env", variable)]
        return [*words, *variables, name, "--", "/none"]

    def left_probes(self, purpose: str = CANARY) -> list[str]:
        """Return our container, by its name."""
        done = self._done("containers", "--format", "{{.ContainerName}}", seconds=SHORT)
        return [name for name in done.printed.split() if name == _NAMED.format(purpose)]

    def remove_probes(self, purpose: str = CANARY) -> None:
        """Remove it. Raises CallFailed if it stays."""
        for name in self.left_probes(purpose):
            done = self._done("rm", name, seconds=LONG)
            if not done.is_well:
                raise CallFailed(f"buildah does not remove {name}: {done.said}")
