"""An installation of its own for each test, whose policy gets an overlay once containers run."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.containers.bundles import Bundle
from harness.host.processes import attempt
from harness.node import install
from tests.runtime.conftest import Pair

OVERLAY = '[overlay]\ndeny = ["mkdir", "mkdirat"]\n'
# says all the time whether it may make a directory; each attempt is a process
PROGRAM = """
while :; do
    if /bin/mkdir /made 2>/dev/null; then echo yes; else echo no; fi >/answer.new
    /bin/mv /answer.new /answer
    /bin/rmdir /made 2>/dev/null
    /bin/sleep 0.02
done
"""


class TightenedNode:
    """An installation that wraps one runtime."""

    def __init__(self, pair: Pair, prefix: Path) -> None:
        self.kind, self.bare = pair.kind, pair.bare
        self.installed = install.copy_of(pair.installed, prefix)
        for file in (prefix / "var" / "ledger").glob("*"):
            file.unlink()

    @property
    def wrapper(self) -> Path:
        return self.installed.wrapper

    def configure(self, text: str) -> None:
        self.installed.configure(f'runtime = ["{self.kind}"]\n{text}')

    def tighten(self, *words: str, status: int = 0, inside: Sequence[str] = ()) -> list[Any]:
        """Tighten and return the containers; the exit status is as expected.

        `inside` are the words of a mount namespace, without which all of the machine's are meant.
        """
        argv = [*inside, str(self.installed.ctl), "tighten", "--json", *words]
        done = attempt(argv, seconds=600)
        assert done.returncode == status, done.stdout + done.stderr
        found: list[Any] = json.loads(done.stdout)["containers"]
        return found

    def start(
        self,
        bundle: Bundle,
        runtime: Path | str | None = None,
        annotations: dict[str, str] | None = None,
        **process: Any,
    ) -> None:
        """Start a container that may be tightened without a further flag."""
        with bundle.edited() as config:
            config["annotations"] = annotations or {}
            words = {"args": ["/bin/sh", "-c", PROGRAM], "noNewPrivileges": True, **process}
            config["process"].update(words)
        bundle.create(runtime or self.wrapper)
        assert answers(bundle, "yes")

    def execs(self, bundle: Bundle) -> bool:
        """Tell whether a process that is executed in it now may make a directory."""
        done = bundle.call(self.wrapper, "exec", after=("/bin/mkdir", f"/exec{time.monotonic()}"))
        assert done.returncode == 0 or "not permitted" in done.stdout, done.stdout
        return done.returncode == 0

    def disagreeing(self) -> Any:
        """Return what verify --deep finds wrong or cannot check."""
        done = self.installed.control("verify", "--json", "--deep", ok=False)
        shown = json.loads(done.stdout)
        return shown["disagreeing"], shown["unchecked"]


def answers(bundle: Bundle, wanted: str, seconds: float = 10) -> bool:
    """Tell whether the container's program says this about an attempt that begins from now on."""
    answer = bundle.path / "rootfs" / "answer"
    deadline = time.monotonic() + seconds
    answer.unlink(missing_ok=True)
    while time.monotonic() < deadline:
        if answer.exists() and answer.read_text() == f"{wanted}\n":
            return True
        time.sleep(0.02)
    return False


class LiveNode(TightenedNode):
    """Such a node, and what a test needs of its runtime."""

    def __init__(self, pair: Pair, prefix: Path, request: pytest.FixtureRequest) -> None:
        super().__init__(pair, prefix)
        self.bundle: Callable[[], Bundle] = partial(
            request.getfixturevalue("make_bundle"), pair.kind
        )
        self.built: Callable[[str], Path] = request.getfixturevalue("built")

    def started(self, **process: Any) -> Bundle:
        """Start a container."""
        bundle = self.bundle()
        self.start(bundle, **process)
        return bundle


@pytest.fixture
def node(pair: Pair, tmp_path: Path, request: pytest.FixtureRequest) -> LiveNode:
    return LiveNode(pair, tmp_path / "prefix", request)
