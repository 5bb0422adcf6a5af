"""Calling runc-wrapctl on a test's own installation."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runc_wrap.apply.policy_proof import Prover
from runc_wrap.cli.root_command import main
from runc_wrap.node.paths import Places
from tests.unit.node import machine


@dataclass(frozen=True)
class Node:
    """A prefix, and the directory with this machine's simulated programs."""

    places: Places
    programs: Path

    def ctl(self, *words: str, stdin: str | bytes = b"", status: int | None = None) -> Result:
        """Run a command, which ends with this status if one is given."""
        argv = ["--prefix", str(self.places.prefix), *words]
        result = CliRunner().invoke(main, argv, input=stdin)
        assert status in (None, result.exit_code), result.output
        return result

    def json(self, *words: str) -> Any:
        return json.loads(self.ctl(*words, "--json", status=0).stdout)

    def failure(self, *words: str) -> str:
        """Return the error message of a command that cannot run."""
        result = self.ctl(*words, status=2)
        assert result.stdout == ""
        assert isinstance(result.exception, SystemExit)
        return result.stderr

    def configure(self, text: str, **profiles: bytes) -> None:
        self.places.profiles.mkdir(parents=True, exist_ok=True)
        self.places.config.write_text(text)
        for name, data in profiles.items():
            (self.places.profiles / f"{name}.json").write_bytes(data)

    def apply(self, policy: str, **profiles: bytes) -> "Node":
        """Put this policy in force."""
        self.configure(policy, **profiles)
        self.ctl("apply", status=0)
        return self


_PROVED: dict[object, dict[str, bool]] = {}
_prove = Prover._of  # noqa: SLF001 - what costs


def prove_once(patch: pytest.MonkeyPatch) -> None:
    """Have each block proved once for all tests of a process; tests/unit/apply proves them anew."""

    def of(prover: Prover, *blocks: bytes) -> dict[str, bool]:
        key = (prover.loader, *blocks)  # all that a proof depends on
        if key not in _PROVED:
            _PROVED[key] = _prove(prover, *blocks)
        return _PROVED[key]

    patch.setattr(Prover, "_of", of)


def node(tmp_path: Path, patch: pytest.MonkeyPatch) -> Node:
    found = Node(Places(tmp_path / "prefix"), machine.empty(tmp_path, patch))
    (found.places.prefix / "lib" / "releases" / "1").mkdir(parents=True)
    (found.places.prefix / "lib" / "current").symlink_to("releases/1")
    machine.fake(found.programs, "runc", "echo runc version 1.1.15")
    return found
