"""What another thread of the process could make of the code that a tightening injects."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.node.requirements import requires
from runc_wrap.filters.kernel import injected_code
from runc_wrap.filters.kernel.injected_code import InjectedCall
from tests.runtime.tighten.conftest import tightened

PROGRAM = "print('begun', flush=True); input(); print('went on')"
EXECUTABLE = (0, 4096, 7, 0x22, -1, 0)


@pytest.mark.parametrize(("name", "arguments"), [("mmap", EXECUTABLE), ("seccomp", (0, 0, 0))])
def test_a_call_that_is_not_the_planned_one_is_not_made(
    name: str, arguments: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    requires(root=True)
    code = injected_code.code

    def swapped(machine: Any, at: int, calls: list[InjectedCall], *rest: Any) -> bytes:
        made = [one._replace(arguments=arguments) if one.name == name else one for one in calls]
        return code(machine, at, made, *rest)

    monkeypatch.setattr(injected_code, "code", swapped)
    words = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        (one,) = tightened(process.pid)
        assert "another of its threads changed what it executes" in (one.reason or "")
        assert one.before == one.after == (0, 0)
        assert " rwxp " not in Path(f"/proc/{process.pid}/maps").read_text()
        assert process.communicate("\n", timeout=60)[0] == "went on\n"
