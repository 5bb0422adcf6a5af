"""CRI-O's drop-in: what its own files say, in CRI-O's order, and what ours repeats of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.engines import dependent_container, handler_removal
from runc_wrap.engines.registration import registration_plan
from runc_wrap.ledger import whole_ledger
from tests.unit.engines.engine_node import add, node, remove, snapshot, toml, write

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.engines.registration.registration_state import Where

# as CRI-O's own packages have it
PACKAGED = """[crio.image]
signature_policy = "/etc/crio/policy.json"

[crio.runtime]
default_runtime = "crun"

[crio.runtime.runtimes.crun]
runtime_path = "/usr/libexec/crio/crun"
runtime_root = "/run/crun"
monitor_path = "/usr/libexec/crio/conmon"
allowed_annotations = [
    "io.containers.trace-syscall",
]
default_annotations = {"a.b/c" = "d"}
platform_runtime_paths = {"linux/arm64" = "/usr/bin/crun-arm64"}
inherit_default_runtime = true

[crio.runtime.runtimes.runc]
runtime_path = "/usr/libexec/crio/runc"
runtime_root = "/run/runc"
monitor_path = "/usr/libexec/crio/conmon"
"""


def _ours(where: Where, name: str = "runc-wrap") -> dict[str, Any]:
    path = where.config.parent / f"crio.conf.d/50-runc-wrap-{name}.conf"
    return dict(toml(path)["crio"]["runtime"])


def test_a_handler_has_the_settings_of_the_default_runtime_but_its_path(tmp_path: Path) -> None:
    where = node(tmp_path, "crio")
    write(tmp_path / "etc/crio.conf.d/10-crio.conf", PACKAGED)
    before = snapshot(tmp_path)
    add(where)
    assert _ours(where) == {
        "runtimes": {
            "runc-wrap": {
                "runtime_path": str(where.bin_dir / "runc-wrap"),
                "runtime_type": "oci",
                "runtime_root": "/run/crun",
                "monitor_path": "/usr/libexec/crio/conmon",
                "allowed_annotations": ["io.containers.trace-syscall"],
                "default_annotations": {"a.b/c": "d"},
            }
        }
    }
    remove(where)
    assert snapshot(tmp_path) == before


def test_a_later_file_names_the_default_and_replaces_a_runtimes_table(tmp_path: Path) -> None:
    where = node(tmp_path, "crio")
    write(where.config, "[crio.runtime]\ndefault_runtime = 'crun'\n")
    write(tmp_path / "etc/crio.conf.d/10", PACKAGED)
    later = "[crio.runtime]\ndefault_runtime = 'runc'\n[crio.runtime.runtimes.runc]\n"
    write(tmp_path / "etc/crio.conf.d/sub/20.conf", f"{later}monitor_cgroup = 'pod'\n")
    add(where)
    ours = _ours(where)["runtimes"]["runc-wrap"]
    assert ours["monitor_cgroup"] == "pod"
    assert "monitor_path" not in ours


def test_nothing_is_repeated_of_a_runtime_that_is_none_of_oci(tmp_path: Path) -> None:
    where = node(tmp_path, "crio")
    text = "[crio.runtime]\ndefault_runtime = 'k'\n[crio.runtime.runtimes.k]\n"
    write(where.config, f"{text}runtime_type = 'vm'\nruntime_root = '/run/vc'\n")
    add(where)
    assert set(_ours(where)["runtimes"]["runc-wrap"]) == {"runtime_path", "runtime_type"}


def test_the_default_is_named_unless_a_later_file_names_another(tmp_path: Path) -> None:
    where = node(tmp_path, "crio")
    plan = registration_plan.plan_add(where, "a", {}, default=True)
    assert plan.notes == []
    write(tmp_path / "etc/crio.conf.d/99.conf", "[crio.runtime]\ndefault_runtime = 'x'\n")
    plan = registration_plan.plan_add(where, "a", {}, default=True)
    assert "99.conf names another default runtime" in plan.notes[0]
    registration_plan.carry_out(plan)
    assert _ours(where, "a")["default_runtime"] == "a"
    assert registration_plan.plan_add(where, "b", {}).notes  # of a, which stays the default


def test_a_pod_needs_the_name_by_which_our_launcher_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pod", "others"):
        (tmp_path / "state" / name).mkdir(parents=True)
    lines = [
        {"id": name, "root": str(tmp_path / "state"), "handler": "x", "engine": engine}
        for name, engine in (("pod", "crio"), ("others", "docker"), ("deleted", "crio"))
    ]
    text = "".join(f"{json.dumps(each | {'action': 'inject'})}\n" for each in lines)
    write(tmp_path / "var/ledger/ledger.jsonl", text)
    found = handler_removal.needing("crio", tmp_path / "crio.conf", tmp_path / "bin/x")
    assert [str(each) for each in found] == ["pod (crio)"]
    assert handler_removal.needing("crio", tmp_path / "crio.conf", tmp_path / "bin/y") == []

    def unreadable(_: Path) -> object:
        raise PermissionError("denied")

    monkeypatch.setattr(whole_ledger, "read", unreadable)
    with pytest.raises(dependent_container.Unknown, match="known by the ledger"):
        handler_removal.needing("crio", tmp_path / "crio.conf", tmp_path / "bin/x")
