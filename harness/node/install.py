"""An installation for tests, made by install.sh as a user would."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.host.processes import Argv, Run, attempt, script
from runc_wrap.evidence.store import evidence_reader
from runc_wrap.evidence.store.call_counts import CallKind, Tally
from runc_wrap.evidence.store.evidence_memory import Evidence, lost_records

Key = TypeVar("Key")
SOURCE = Path(__file__).resolve().parents[2]
SECOND = "new"  # the name of a second release
OPTIONS = ("--no-services",)  # the machine's own systemd is not the tests'


@dataclass(frozen=True)
class Installed:
    """What `install.sh --prefix PREFIX` created."""

    prefix: Path

    @property
    def wrapper(self) -> Path:
        return self.prefix / "bin" / "runc-wrap"

    @property
    def ctl(self) -> Path:
        return self.prefix / "bin" / "runc-wrapctl"

    @property
    def release(self) -> Path:
        return (self.prefix / "lib" / "current").resolve()

    def control(self, *words: str | Path, ok: bool = True, seconds: float = 120) -> Run:
        """Run runc-wrapctl; unless `ok` is False, its failure fails the test."""
        done = attempt([self.ctl, *words], seconds=seconds)
        assert not ok or done.returncode == 0, done.stdout + done.stderr
        return done

    def shown(self, *words: str | Path) -> Any:
        """Return the document of a command with --json that finds something, or nothing."""
        done = self.control(*words, "--json", ok=False)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    def configure(self, text: str) -> None:
        """Write config.toml and put it in force."""
        (self.prefix / "etc" / "config.toml").write_text(text)
        self.control("apply")

    def workload(self, container: str, *words: str | Path) -> dict[str, Any]:
        """Return the workload of `report` that has a container of this id."""
        (found,) = (one for one in self.shown("report", *words) if container in one["ids"])
        return dict(found)

    def ledger(self, container: str = "") -> list[dict[str, Any]]:
        """Return the ledger's lines, of one container or of all."""
        path = self.prefix / "var" / "ledger" / "ledger.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [one for one in map(json.loads, lines) if container in (one["id"], "")]

    @property
    def evidence(self) -> Evidence:
        """What is in the store."""
        return evidence_reader.load(self.prefix / "var" / "evidence")

    def calls(self, container: tuple[str, str]) -> dict[CallKind, Tally]:
        """Return the calls in the store of a container, by its key."""
        seen = self.evidence.containers.get(container)
        return seen.calls if seen else {}

    def lost_by_observe(self) -> int:
        """Return how many calls the store says were lost in observe."""
        lost = self.evidence.lost.items()
        return sum(lost_records(told) for (source, _), told in lost if source == "observe")


def totals(calls: Mapping[CallKind, Tally], by: Callable[[CallKind], Key]) -> Counter[Key]:
    """Add up how often calls were seen, by something of theirs."""
    found: Counter[Key] = Counter()
    for call, tally in calls.items():
        found[by(call)] += tally.count
    return found


def install(prefix: Path, python: str = "/usr/bin/python3") -> Installed:
    """Run install.sh, whose selftest must pass."""
    done = attempted(prefix, python)
    assert done.returncode == 0, done.stdout + done.stderr
    return Installed(prefix)


def attempted(
    prefix: Path, python: str = "/usr/bin/python3", *words: str, before: Sequence[str] = ()
) -> Run:
    """Run install.sh with additional arguments; `before` are words in front of it."""
    compiler = os.environ.get("CC")
    more = ["--cc", compiler, *words] if compiler else words
    argv: Argv = [*before, SOURCE / "install.sh", "--prefix", prefix, "--python", python]
    return attempt([*argv, *OPTIONS, *more], seconds=300)


def copy_of(installed: Installed, prefix: Path) -> Installed:
    """Make an installation that a test may configure or break, from a shared one."""
    prefix.mkdir(parents=True)
    for name in ("bin", "etc", "var"):
        shutil.copytree(
            installed.prefix / name,
            prefix / name,
            symlinks=True,
            ignore=shutil.ignore_patterns("ledger", "agent"),
        )
    (prefix / "lib").mkdir()
    (prefix / "lib" / "releases").symlink_to(installed.release.parent)
    (prefix / "lib" / "current").symlink_to(f"releases/{installed.release.name}")
    shutil.copytree(installed.prefix / "lib/runtime", prefix / "lib/runtime", symlinks=True)
    (prefix / "hooks").symlink_to("lib/current/hooks")
    (prefix / "bin" / "runc-wrapctl").unlink()
    script(prefix / "bin" / "runc-wrapctl", f'exec {installed.ctl} --prefix {prefix} "$@"')
    return Installed(prefix)


def use_runtime(installed: Installed, path: Path | str, kind: str = "runc") -> None:
    """Make the launcher use another program as the real runtime."""
    link = installed.prefix / "lib" / "runtime" / kind
    link.unlink()
    link.symlink_to(path)


def lay_out_second(node: Installed) -> Path:
    """Make a second release of the same code; return its directory. The first stays in force."""
    releases = node.prefix / "lib" / "releases"
    old, shared = node.release, releases.resolve()
    releases.unlink()
    releases.mkdir()
    (releases / old.name).symlink_to(shared / old.name)
    shutil.copytree(old, releases / SECOND, symlinks=True)
    return releases / SECOND


def switch_release(prefix: Path) -> None:
    """Put the other one of the two in force, as install.sh does."""
    current = prefix / "lib" / "current"
    names = [path.name for path in (prefix / "lib" / "releases").iterdir()]
    (other,) = [name for name in names if name != current.readlink().name]
    link = prefix / "lib" / "current.new"
    link.symlink_to(f"releases/{other}")
    link.replace(current)
