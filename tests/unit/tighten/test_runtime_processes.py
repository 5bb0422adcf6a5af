"""Who is still the runtime, and may have read what was saved before."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from runc_wrap.host import procfs, runtime_state
from runc_wrap.tighten import runtime_processes

CONTAINER: Any = SimpleNamespace(id="c1")
COMMAND, SHIM, INIT, INNER = 10, 11, 20, 21  # the runtime's exec, and who is in the container


@pytest.mark.parametrize(
    ("parent", "is_runtime", "space", "age", "is_program"),
    [
        (COMMAND, True, "inner", 100.0, False),
        (SHIM, True, "inner", 1.0, False),  # crun's grandchild
        (SHIM, True, "inner", 11.0, True),
        (SHIM, True, "host", 1.0, True),  # in a container with the host's pid namespace
        (INIT, True, "inner", 1.0, True),
        (COMMAND, False, "inner", 1.0, True),
    ],
)
def test_a_process_is_the_runtime_if_the_runtimes_command_made_it(
    monkeypatch: pytest.MonkeyPatch,
    parent: int,
    space: str,
    age: float,
    *,
    is_runtime: bool,
    is_program: bool,
) -> None:
    spaces = {COMMAND: "host", SHIM: "host", INIT: "inner", INNER: space, os.getpid(): "host"}
    monkeypatch.setattr(procfs, "namespace", lambda pid, _: spaces[pid])
    monkeypatch.setattr(procfs, "born", lambda _: (1, parent))
    monkeypatch.setattr(procfs, "age", lambda _: age)
    monkeypatch.setattr(runtime_state, "is_runtime", lambda *_: is_runtime)
    monkeypatch.setattr(runtime_processes, "_is_command", lambda pid, *_: pid == COMMAND)
    assert runtime_processes.is_program(INNER, CONTAINER, "runc") == is_program


@pytest.mark.parametrize(("start", "is_early"), [(5, True), (105, True), (106, False)])
def test_a_process_that_is_born_a_second_later_got_what_was_saved_then(
    monkeypatch: pytest.MonkeyPatch, start: int, *, is_early: bool
) -> None:
    monkeypatch.setattr(procfs, "born", lambda _: (start, 1))
    assert runtime_processes.is_early(INNER, 5) == is_early
