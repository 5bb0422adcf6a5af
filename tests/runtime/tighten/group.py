"""Containers that are started together and tightened by one command."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.containers.bundles import Bundle
from harness.kernel.process_status import status
from runc_wrap.host import procfs
from tests.runtime.live.conftest import TightenedNode
from tests.runtime.tighten import rounds


class Group:
    """Containers of one program; `stops`: milliseconds that each process stood still."""

    def __init__(self, node: TightenedNode, bundles: Sequence[Bundle]) -> None:
        self.node, self.bundles = node, bundles
        self.stops: list[float] = []
        self._had = 1  # the default profile's

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start all, each with a directory /out that is the host's too; remove them in the end."""
        with ThreadPoolExecutor(4) as several:
            try:
                list(several.map(self._start, self.bundles))
                yield
            finally:
                list(several.map(lambda one: one.delete(self.node.bare), self.bundles))

    def _start(self, bundle: Bundle) -> None:
        out = bundle.path / "out"
        out.mkdir()
        out.chmod(0o777)
        with bundle.edited() as config:
            bound = {"type": "bind", "source": str(out), "options": ["bind"]}
            config["mounts"].append({"destination": "/out", **bound})
        bundle.create(self.node.wrapper)

    def written(self, name: str) -> list[Path]:
        """Return the host's paths of a file in /out."""
        return [one.path / "out" / name for one in self.bundles]

    def deny(self, calls: Sequence[str]) -> None:
        """Deny calls in all of them: each thread of each process has one filter more afterwards.

        Or two: one that was born with it, and has several threads, gets it again.
        """
        profile = self.node.installed.prefix / "profile.json"
        profile.write_text(rounds.profile(calls))
        names = [one.name for one in self.bundles]
        found = self.node.tighten("--named", str(profile), "--set-no-new-privs", *names)
        assert sorted(one["id"] for one in found) == sorted(names)
        assert {(one["result"], *one["reasons"]) for one in found} == {("tightened",)}
        processes = [each for one in found for each in one["processes"]]
        self._had += 1
        counts = {each["after"]["filters"] for each in processes}
        counts |= {count for one in self.bundles for count in _filters(one)}
        assert self._had <= min(counts) <= max(counts) <= 2 * self._had
        self.stops += [each["stopped_seconds"] * 1e3 for each in processes]


def stood(stops: Sequence[float]) -> str:
    """Return how long processes stood still."""
    *_, most = sorts = sorted(stops)
    median, late = (sorts[len(sorts) * share // 100] for share in (50, 90))
    return f"{len(stops)} stops: median {median:.2f} ms, p90 {late:.2f} ms, most {most:.2f} ms"


def _filters(bundle: Bundle) -> Iterator[int]:
    """Yield how many filters each thread in the container's pid namespace has."""
    space = procfs.namespace(bundle.pid, "pid")
    for pid in procfs.pids():
        for thread in procfs.threads(pid) if procfs.namespace(pid, "pid") == space else ():
            with suppress(OSError, KeyError):  # it has ended
                yield int(status(thread)["Seccomp_filters"])
