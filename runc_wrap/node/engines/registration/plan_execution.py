"""Carrying out a planned registration: completely, or not at all.

Our record of it is written before the files are changed, and again afterwards, so that an
interrupted command can be run again.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.host.files import sync
from runc_wrap.host.locks import locked
from runc_wrap.node.engines import engine_files
from runc_wrap.node.engines.handler import DEFAULT_NAME, EngineError
from runc_wrap.node.engines.registration import registration_state
from runc_wrap.node.engines.registration.registration_plan import our_link

if TYPE_CHECKING:
    from runc_wrap.node.engines.file_tree import Change
    from runc_wrap.node.engines.registration.registration_plan import Plan


def carry_out(plan: Plan) -> None:
    """Execute the plan completely or, on OSError or EngineError, not at all."""
    if plan.is_empty:
        return
    plan.where.state_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    with locked(plan.where.state_dir.parent, "engines"):
        if registration_state.of(plan.where) != plan.before:
            raise EngineError(
                "another runc-wrapctl changed this registration meanwhile",
                "no other at the same time",
                "run this again",
            )
        _write_all(plan)
        if plan.link_gone:
            plan.link_gone.unlink(missing_ok=True)
        _finish(plan)


def _save(path: Path, state: dict[str, Any]) -> None:
    engine_files.write(path, json.dumps(state, indent=1) + "\n", mode=0o600)


def _both(plan: Plan) -> dict[str, Any]:
    """Return the state in which each file may have its old or its new content."""
    both = {**plan.after, "files": dict(plan.after["files"])}
    for path, old in plan.before["files"].items():
        new = plan.after["files"].get(path, {"versions": []})
        both["files"][path] = {**old, "versions": [*new["versions"], *old["versions"]][:3]}
    if not registration_state.names(plan.after):
        both["handlers"] = plan.before["handlers"]
        both["kept"] = plan.before.get("kept", [])
    return both


def _write_all(plan: Plan) -> None:
    begun: list[Change] = []
    try:
        _save(plan.where.state_file, _both(plan))
        if plan.link_new:
            plan.link_new.symlink_to(DEFAULT_NAME)
        for change in plan.changes:
            _check(change)
            begun.append(change)
            _put(change.path, change.after)
    except BaseException:
        _roll_back(plan, begun)
        raise


def _roll_back(plan: Plan, begun: list[Change]) -> None:
    for change in reversed(begun):
        if (
            engine_files.read(change.path) == change.after
        ):  # a write may fail when the file is replaced
            _put(change.path, change.before)
    if plan.link_new and our_link(plan.link_new):
        plan.link_new.unlink(missing_ok=True)
    made = [path for path in plan.after["dirs"] if path not in plan.before["dirs"]]
    _drop_dirs(made)
    if registration_state.names(plan.before):
        _save(plan.where.state_file, plan.before)
    else:
        plan.where.state_file.unlink(missing_ok=True)


def _check(change: Change) -> None:
    if engine_files.read(change.path) != change.before:
        raise EngineError(f"{change.path} changed meanwhile", "an unchanged file", "run this again")


def _put(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    engine_files.write(path, text)


def _drop_dirs(made: list[str]) -> None:
    for path in reversed(made):
        with contextlib.suppress(OSError):  # not empty, or removed by others: not ours to remove
            Path(path).rmdir()


def _finish(plan: Plan) -> None:
    if registration_state.names(plan.after):
        _save(plan.where.state_file, plan.after)
        return
    _drop_dirs(plan.after["dirs"])
    plan.where.state_file.unlink(missing_ok=True)
    sync(plan.where.state_dir)
