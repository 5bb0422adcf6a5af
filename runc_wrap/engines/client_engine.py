"""What Docker and Podman have in common: their own client shows, starts and removes containers."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from runc_wrap.engines import probe_container
from runc_wrap.engines.engine_class import LONG, SHORT, Engine
from runc_wrap.engines.handler import CallFailed
from runc_wrap.engines.probe_container import CANARY, Probe, Started
from runc_wrap.host import program

# It takes no notice of SIGTERM, after which Podman's `rm` would wait ten seconds.
_RUN = ("run", "--detach", "--network", "none", "--stop-signal", "KILL")
_TRIES = 3  # a container that is removed meanwhile makes `inspect` fail


class ClientEngine(Engine):
    """See Engine; `client` is its command."""

    client: ClassVar[str]

    def running(self) -> Mapping[str, str | None] | None:
        """Return what `info` tells."""
        return self.in_force()

    def silence(self) -> str:
        """Return why `info` fails."""
        return program.failure(self.client, "info")

    def start_probe(self, probe: Probe, directory: Path) -> Started:
        """Run a container."""
        caps = ("--cap-drop", "ALL", *(f"--cap-add={name}" for name in sorted(probe.caps)))
        variables = (word for name in probe.variables for word in ("--env", name))
        named = ("--name", probe_container.name(probe.purpose))
        words = self.probe_words(probe, [*_RUN, *named, *caps, *variables], directory)
        environment = {**self.environment(), **probe.variables}
        done = program.run(self.client, *words, seconds=LONG, environment=environment)
        printed = done.printed.split() if done.is_well else []
        return Started(printed[-1] if printed else "", done.said)

    @abstractmethod
    def probe_words(self, probe: Probe, run: list[str], directory: Path) -> list[str]:
        """Return the words that start one, with those of `run`. Raises EngineError."""

    def environment(self) -> dict[str, str]:
        """Return the client's variables."""
        return program.made_environment()

    def remove_probes(self, purpose: str = CANARY) -> None:
        """Remove our containers. Raises CallFailed if any stays or might."""
        if listed := self.left_probes(purpose):
            done = self._done("rm", "--force", *listed, seconds=LONG)
            if self.left_probes(purpose):
                raise CallFailed(f"{self.name} does not remove our {purpose}: {done.said}")

    def left_probes(self, purpose: str = CANARY) -> list[str]:
        """Return our containers, by their names."""
        ours = f"name={probe_container.pattern(purpose)}"
        done = self._done("ps", "--all", "--quiet", "--no-trunc", "--filter", ours, seconds=SHORT)
        if not done.is_well:
            raise CallFailed(f"{self.name} does not tell its containers: {done.said}")
        return done.printed.split()

    @classmethod
    def inspected(cls, *columns: str) -> tuple[list[list[str]], bool]:
        """Return these columns of `inspect` for each container, and whether that is all of them.

        It is not if the engine fails, or if one is gone at each try, or damaged.
        """
        shown = "\t".join(f"{{{{.{column}}}}}" for column in columns)
        words = ("inspect", "--type", "container", "--format", shown)
        rows: list[list[str]] = []
        for _ in range(_TRIES):
            listed = program.run(cls.client, "ps", "--all", "--quiet", "--no-trunc", seconds=SHORT)
            names = listed.printed.split() if listed.is_well else []
            if not names:
                return [], listed.is_well
            ended = program.run(cls.client, *words, *names, seconds=SHORT)
            lines = (line.split("\t") for line in ended.printed.splitlines())
            rows = [row for row in lines if len(row) == len(columns)]
            if ended.is_well:
                return rows, True
        return rows, False

    def _done(self, *words: str, seconds: float, stdin: bytes = b"") -> program.Ended:
        own = self.environment()
        return program.run(self.client, *words, seconds=seconds, stdin=stdin, environment=own)
