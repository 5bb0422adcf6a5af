"""What the kernel refuses to each process that has a filter fails in audit and observe, too."""

from __future__ import annotations

from errno import EACCES, EINVAL, EPERM
from typing import TYPE_CHECKING

import pytest

from harness.host.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from harness.containers.bundles import Bundle
    from tests.runtime.conftest import Lab

REFUSED = {
    "Seccomp:": "2",
    "PTRACE_O_SUSPEND_SECCOMP": str(EPERM),
    "PTRACE_SECCOMP_GET_FILTER": str(EACCES),
    "SECCOMP_SET_MODE_STRICT": str(EINVAL),
}


@pytest.mark.parametrize("mode", ["audit", "observe"])
def test_it_is_no_call_in_any_report_which_says_so_instead(lab: Lab, mode: str) -> None:
    def made() -> Bundle:
        bundle = lab.running("any_filter")
        with bundle.edited() as config:
            for given in config["process"]["capabilities"].values():
                given += ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]
        return bundle

    def run(bundle: Bundle, by: str | Path) -> dict[str, str]:
        done = bundle.call(by, "run")
        assert done.returncode == 0, done.stdout
        return dict(line.split() for line in done.stdout.splitlines())

    bare = run(made(), lab.bare)
    assert {name for name, error in bare.items() if error == REFUSED[name]} == set()
    lab.mode(mode)
    with lab.agent():
        bundle = made()
        assert run(bundle, lab.wrapper) == REFUSED

        def confidence() -> str:
            found = lab.workload(bundle)
            assert found["calls"] == []
            return str(found["confidence"])

        wait_until(lambda: "watched" in confidence(), "the container in the report", 30)
        assert "It has CAP_SYS_ADMIN: to every process that has a filter" in confidence()
