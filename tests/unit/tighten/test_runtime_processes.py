"""Who is still the runtime, and may have read what was saved before."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from runc_wrap.host import procfs, runtime_state
from runc_wrap.tighten import runtime_processes


def plan(filters: int) -> Any:
    entry = SimpleNamespace(record=SimpleNamespace(filters=filters))
    return SimpleNamespace(entry=entry, runtime="runc")


COMMAND, SHIM, ENDING, INIT, INNER = (
    10,
    11,
    12,
    20,
    21,
)  # the runtime's exec, and who is in the container


@pytest.mark.parametrize(
    ("parent", "is_runtime", "space", "age", "filters", "is_program"),
    [
        (COMMAND, True, "inner", 100.0, 0, False),
        (COMMAND, True, "inner", 1.0, 1, True),  # its filter is there
        (SHIM, True, "inner", 1.0, 0, False),  # crun's grandchild
        (SHIM, True, "inner", 11.0, 0, True),
        (SHIM, True, "host", 1.0, 0, True),  # in a container with the host's pid namespace
        (INIT, True, "inner", 1.0, 0, True),
        (COMMAND, False, "inner", 1.0, 0, True),
        (ENDING, True, "inner", 1.0, 0, False),
        (ENDING, True, "inner", 1.0, 1, True),
    ],
)
def test_a_process_is_the_runtime_if_the_runtimes_command_made_it(
    monkeypatch: pytest.MonkeyPatch,
    parent: int,
    space: str,
    *,
    age: float,
    filters: int,
    is_runtime: bool,
    is_program: bool,
) -> None:
    spaces = {COMMAND: "host", SHIM: "host", INIT: "inner", INNER: space, os.getpid(): "host"}
    monkeypatch.setattr(procfs, "namespace", lambda pid, _: spaces.get(pid))
    monkeypatch.setattr(procfs, "born", lambda _: (1, parent))
    monkeypatch.setattr(procfs, "age", lambda _: age)
    monkeypatch.setattr(procfs, "program", {COMMAND: "", SHIM: "", INIT: ""}.get)
    monkeypatch.setattr(runtime_state, "is_runtime", lambda *_: is_runtime)
    monkeypatch.setattr(runtime_processes, "_is_command", lambda pid, *_: pid == COMMAND)
    monkeypatch.setattr(runtime_processes, "_filters", lambda pid: filters * (pid > SHIM))
    assert runtime_processes.is_program(INNER, plan(1)) == is_program


@pytest.mark.parametrize(
    ("start", "command", "filters", "is_early"),
    [
        (105, 9, 1, True),
        (106, 9, 1, False),  # it got what was saved then
        (106, 5, 1, True),  # its command had begun before
        (106, 9, 0, True),
    ],
)
def test_a_process_counts_as_early_unless_it_is_sure_to_have_what_was_saved(
    monkeypatch: pytest.MonkeyPatch, start: int, command: int, filters: int, *, is_early: bool
) -> None:
    monkeypatch.setattr(procfs, "born", {INNER: (start, COMMAND), COMMAND: (command, 1)}.get)
    monkeypatch.setattr(runtime_processes, "_is_command", lambda *_: True)
    assert runtime_processes.is_early(INNER, plan(filters), 5) == is_early
