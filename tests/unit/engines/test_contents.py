"""The configuration written for each engine, and configurations that are refused.

What containerd 2 makes of its files is in test_containerd.py.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.engines import dependent_container, handler_users
from runc_wrap.engines.containerd.loaded_files import OLD_CRI as OLD
from runc_wrap.engines.handler import ANNOTATIONS, EngineError
from runc_wrap.engines.registration import registration_plan
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.ledger import whole_ledger
from tests.unit.engines.engine_node import FACTS, add, node, remove, snapshot, toml, write


def test_containerd_1_copies_the_settings_of_runc_and_keeps_runc(tmp_path: Path) -> None:
    where = node(tmp_path, "containerd")
    own = 'runtime_type = "io.containerd.runc.v2"\nsnapshotter = "zfs"\npod_annotations = ["a/*"]'
    options = 'options = {SystemdCgroup = true, BinaryName = "/usr/bin/crun", Root = "/run/r"}'
    runc = f'plugins."{OLD}".containerd.runtimes.runc'
    write(where.config, f"version = 2\n[{runc}]\n{own}\n{options}\n")
    add(where)
    runtimes = toml(where.config)["plugins"][OLD]["containerd"]["runtimes"]
    assert set(runtimes) == {"runc", "runc-wrap"}
    before, ours = runtimes["runc"], runtimes["runc-wrap"]
    assert ours["options"] == before["options"] | {"BinaryName": str(where.bin_dir / "runc-wrap")}
    assert ours["pod_annotations"] == [*ANNOTATIONS, "a/*"]
    for name in ("runtime_type", "snapshotter"):
        assert ours[name] == before[name]


@pytest.mark.parametrize("listed", ["conf.d/*.toml", "conf.d/50-*.toml", "{folder}/conf.d/*"])
def test_containerd_2_that_imports_conf_d_is_not_changed(listed: str, tmp_path: Path) -> None:
    where = node(tmp_path, "containerd")
    text = f"version = 3\nimports = ['{listed.format(folder=where.config.parent)}']\n"
    write(where.config, text)
    add(where, major=2)
    assert where.config.read_text() == text


HANDLER = f"plugins.'{OLD}'.containerd.runtimes.runc-wrap"
MAIN, DROP_IN = "config.toml", "conf.d/10-own.toml"
IMPORTS = "version = 3\nimports = ['conf.d/*.toml']\n"
IMPORTED = {MAIN: IMPORTS, DROP_IN: f"version = 2\n[{HANDLER}]\n"}
REPLACED = {
    MAIN: "version = 2\nimports = ['first']\n",
    "first": "imports = ['d/*.toml']\n",
    "d/cri.toml": f"version = 2\n[plugins.'{OLD}']\na = 1\n",
}
INLINE = {MAIN: f"version = 2\nplugins.'{OLD}'.containerd = {{}}\n"}
PODMANS = {"containers.conf": "[engine.runtimes]\nrunc-wrap=['x']"}
REFUSED: dict[str, tuple[str, int, dict[str, str], str]] = {
    "no version": ("containerd", 1, {MAIN: "oom_score = 1\n"}, "no `version` line means 1"),
    "a later version": ("containerd", 2, {MAIN: "version = 5\n"}, "wanted 1 or 2 or 3 or 4"),
    "a version of 2": ("containerd", 1, {MAIN: "version = 3\n"}, "version 3, wanted 2"),
    "no TOML": ("containerd", 1, {MAIN: "version =\n"}, "is no valid TOML"),
    "taken": ("containerd", 1, {MAIN: f"version = 2\n[{HANDLER}]\n"}, "has no record"),
    "taken by an import": ("containerd", 2, IMPORTED, "has no record"),
    "inline": ("containerd", 1, INLINE, r"by hand:\n(?s:.*)runtimes\.runc-wrap\.options\]"),
    "replaced": ("containerd", 1, REPLACED, "--config .*/d/cri.toml"),
    "Podman's": ("podman", 0, PODMANS, "no record"),
    "a list": ("docker", 0, {"daemon.json": '{"runtimes": []}'}, "try:"),
    "Docker's": ("docker", 0, {"daemon.json": '{"runtimes": {"runc-wrap": {}}}'}, "try:"),
    "no JSON": ("docker", 0, {"daemon.json": "{"}, "try:"),
    "CRI-O's": ("crio", 0, {"crio.conf.d/10": "[crio.runtime.runtimes.runc-wrap]\n"}, "no record"),
    "no TOML for CRI-O": ("crio", 0, {"crio.conf.d/10": "[crio"}, r"\.d/10 is no valid TOML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_configuration_that_cannot_be_added_to_is_refused(case: str, tmp_path: Path) -> None:
    engine, major, texts, said = REFUSED[case]
    where = node(tmp_path, engine)
    for name, text in texts.items():
        write(where.config.parent / name, text)
    with pytest.raises(EngineError, match=said):
        registration_plan.plan_add(where, "runc-wrap", FACTS.get(engine, {}) | {"major": major})


def test_every_podman_drop_in_lists_all_handlers_and_the_earlier_list(tmp_path: Path) -> None:
    where = node(tmp_path, "podman")
    write(where.config, '[engine]\nruntime_supports_json = ["runc"]\n')
    more = '[engine]\nruntime_supports_json = ["mine", {append = true}]\n'
    write(tmp_path / "etc/containers.conf.d/10.conf", more)
    add(where, "z", crun=True)
    add(where, "a", crun=True, default=True)
    for name in "az":
        engine = toml(tmp_path / f"etc/containers.conf.d/50-runc-wrap-{name}.conf")["engine"]
        assert engine["runtime_supports_json"] == ["runc", "mine", "z", "a"]
        assert engine["runtime_supports_nocgroup"] == ["crun", "krun", "z", "a"]
        assert engine["runtimes"] == {name: [str(where.bin_dir / name)]}
        assert engine.get("runtime") == ("a" if name == "a" else None)


# as CRI-O's own packages have it
PACKAGED = """[crio.runtime]
default_runtime = "crun"

[crio.runtime.runtimes.crun]
runtime_path = "/usr/libexec/crio/crun"
runtime_root = "/run/crun"
monitor_path = "/usr/libexec/crio/conmon"
allowed_annotations = ["io.containers.trace-syscall"]
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
    assert _ours(where)["runtimes"]["runc-wrap"] == {
        "runtime_path": str(where.bin_dir / "runc-wrap"),
        "runtime_type": "oci",
        "runtime_root": "/run/crun",
        "monitor_path": "/usr/libexec/crio/conmon",
        "allowed_annotations": ["io.containers.trace-syscall"],
        "default_annotations": {"a.b/c": "d"},
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
    where = Where("crio", tmp_path / "crio.conf", tmp_path / "bin", tmp_path)
    found = handler_users.needing(where, "x")
    assert [str(each) for each in found] == ["pod (crio)"]
    assert handler_users.needing(where, "y") == []

    def unreadable(_: Path) -> object:
        raise PermissionError("denied")

    monkeypatch.setattr(whole_ledger, "read", unreadable)
    with pytest.raises(dependent_container.Unknown, match="known by the ledger"):
        handler_users.needing(where, "x")
