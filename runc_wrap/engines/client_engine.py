"""What Docker and Podman have in common: their own client shows, starts and removes containers.

A canary has a name of its own, not a label, which an image's author could give all containers.
"""

from __future__ import annotations

import secrets
import tempfile
from abc import abstractmethod
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runc_wrap.engines.cri.grpc_call import CallFailed
from runc_wrap.engines.engine import LONG, SHORT, Engine
from runc_wrap.host import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAME, _DIGITS = "runc-wrap-canary", 16
# It takes no notice of SIGTERM, after which Podman's `rm` would wait ten seconds.
RUN = ("run", "--detach", "--network", "none", "--cap-drop", "all", "--stop-signal", "KILL")
_AT_ONCE = 100  # containers in one command line
_TRIES = 3  # a container that is removed meanwhile makes `inspect` fail


class ClientEngine(Engine):
    """See Engine; `client` is its command."""

    def running(self) -> Mapping[str, str | None] | None:
        """Return what `info` tells."""
        return self.in_force()

    def silence(self) -> str:
        """Return why `info` fails."""
        return program.failure(self.client, "info")

    @contextmanager
    def canary(self, handler: str, var: Path) -> Iterator[str]:
        """Run a container."""
        runtime = ["--runtime", handler] if handler else []
        with tempfile.TemporaryDirectory(prefix=f"{_NAME}-", dir=var) as directory:
            words = self.canary_words(runtime, Path(directory))
            done = program.run(self.client, *words, seconds=LONG)
            try:
                if not done.is_well:
                    raise self.not_started(done.said)
                yield done.printed.split()[-1]
            finally:
                with suppress(CallFailed):  # no reason to take back what is proved
                    self.remove_canaries()

    @abstractmethod
    def canary_words(self, runtime: list[str], directory: Path) -> list[str]:
        """Return the words that start one; `directory` is empty. Raises EngineError."""

    def remove_canaries(self) -> None:
        """Remove our containers. Raises CallFailed if any stays, or it is not told."""
        if listed := self.left_canaries():
            done = program.run(self.client, "rm", "--force", *listed, seconds=LONG)
            if self.left_canaries():
                raise CallFailed(f"{self.name} does not remove our canary: {done.said}")

    def left_canaries(self) -> list[str]:
        """Return our containers, by their names."""
        ours = f"name=^{_NAME}-[0-9a-f]{{{_DIGITS}}}$"
        words = ("ps", "--all", "--quiet", "--no-trunc", "--filter", ours)
        done = program.run(self.client, *words, seconds=SHORT)
        if not done.is_well:
            raise CallFailed(f"{self.name} does not tell its containers: {done.said}")
        return done.printed.split()


def named() -> list[str]:
    """Return the words that name a canary."""
    return ["--name", f"{_NAME}-{secrets.token_hex(_DIGITS // 2)}"]


def inspected(client: str, *columns: str) -> list[list[str]] | None:
    """Return these columns of `inspect` for each container, None if the engine fails."""
    shown = "\t".join(f"{{{{.{column}}}}}" for column in columns)
    for _ in range(_TRIES):
        listed = program.output(client, "ps", "--all", "--quiet", "--no-trunc")
        if listed is None:
            return None
        names = listed.split()
        batches = [names[at : at + _AT_ONCE] for at in range(0, len(names), _AT_ONCE)]
        words = ("inspect", "--type", "container", "--format", shown)
        printed = [program.output(client, *words, *batch) for batch in batches]
        if None not in printed:
            rows = [line.split("\t") for text in printed for line in (text or "").splitlines()]
            return [row for row in rows if len(row) == len(columns)]
    return None
