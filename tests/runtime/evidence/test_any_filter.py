"""What the kernel refuses to each process that has a filter fails in audit and observe, too."""

from __future__ import annotations

from errno import EACCES, EINVAL, EPERM
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import short_directory, wait_until
from harness.node import agent as agents
from harness.node import install

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Pair

REFUSED = {
    "Seccomp:": "2",
    "PTRACE_O_SUSPEND_SECCOMP": str(EPERM),
    "PTRACE_SECCOMP_GET_FILTER": str(EACCES),
    "SECCOMP_SET_MODE_STRICT": str(EINVAL),
}


@pytest.mark.parametrize("mode", ["audit", "observe"])
def test_it_is_no_call_in_any_report_which_says_so_instead(
    pair: Pair, make_bundle: Callable[..., Bundle], built: Callable[[str], Path], mode: str
) -> None:
    def made() -> Bundle:
        bundle = make_bundle(pair.kind).running(built("any_filter"))
        with bundle.edited() as config:
            for given in config["process"]["capabilities"].values():
                given += ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]
        return bundle

    def run(bundle: Bundle, by: str | Path) -> dict[str, str]:
        done = bundle.call(by, "run")
        assert done.returncode == 0, done.stdout
        return dict(line.split() for line in done.stdout.splitlines())

    bare = run(made(), pair.bare)
    assert {name for name, error in bare.items() if error == REFUSED[name]} == set()
    with short_directory("any") as place:
        node = install.copy_of(pair.installed, place / "p")
        node.configure(f'runtime = ["{pair.kind}"]\n[default]\nmode = "{mode}"\n')
        with agents.running(node) as agent:
            agent.wait_ready()
            bundle = made()
            assert run(bundle, node.wrapper) == REFUSED

            def confidence() -> str:
                found = node.workload(bundle.name)
                assert found["calls"] == []
                return str(found["confidence"])

            wait_until(lambda: "watched" in confidence(), "the container in the report", 30)
            assert "It has CAP_SYS_ADMIN: to every process that has a filter" in confidence()
