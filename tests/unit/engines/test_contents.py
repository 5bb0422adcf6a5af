"""The configuration written for each engine, and configurations that are refused.

What containerd 2 makes of its files is in test_containerd_versions.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runc_wrap.engines.containerd import containerd_engine
from runc_wrap.engines.containerd.loaded_files import OLD_CRI as OLD
from runc_wrap.engines.handler import ANNOTATIONS, EngineError
from runc_wrap.engines.registration import registration_plan
from tests.unit.engines.engine_node import FACTS, add, node, toml, write

if TYPE_CHECKING:
    from pathlib import Path


def test_containerd_1_copies_the_settings_of_runc_and_keeps_runc(tmp_path: Path) -> None:
    where = node(tmp_path, "containerd")
    write(
        where.config,
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\n'
        'runtime_type = "io.containerd.runc.v2"\nsnapshotter = "zfs"\n'
        'pod_annotations = ["mine/*"]\n'
        'options = {SystemdCgroup = true, BinaryName = "/usr/bin/crun", Root = "/run/r"}\n',
    )
    add(where)
    runtimes = toml(where.config)["plugins"][OLD]["containerd"]["runtimes"]
    assert runtimes["runc-wrap"] == {
        "runtime_type": "io.containerd.runc.v2",
        "snapshotter": "zfs",
        "pod_annotations": [*ANNOTATIONS, "mine/*"],
        "options": {
            "BinaryName": str(where.bin_dir / "runc-wrap"),
            "SystemdCgroup": True,
            "Root": "/run/r",
        },
    }
    assert set(runtimes) == {"runc", "runc-wrap"}


def test_an_import_of_a_parent_directory_is_not_one_of_conf_d(tmp_path: Path) -> None:
    where = node(tmp_path, "containerd")
    write(where.config, f"version = 3\nimports = ['{where.config.parent}/*.toml']\n")
    add(where, major=2)
    assert len(toml(where.config)["imports"]) == 2


@pytest.mark.parametrize("listed", ["conf.d/*.toml", "conf.d/50-*.toml", "{folder}/conf.d/*"])
def test_containerd_2_that_already_imports_conf_d_is_not_changed(
    listed: str, tmp_path: Path
) -> None:
    where = node(tmp_path, "containerd")
    text = f"version = 3\nimports = ['{listed.format(folder=where.config.parent)}']\n"
    write(where.config, text)
    add(where, major=2)
    assert where.config.read_text() == text


HANDLER = f"plugins.'{OLD}'.containerd.runtimes.runc-wrap"
MAIN, DROP_IN = "config.toml", "conf.d/10-own.toml"
IMPORTED = {
    MAIN: "version = 3\nimports = ['conf.d/*.toml']\n",
    DROP_IN: f"version = 2\n[{HANDLER}]\n",
}
REPLACED = {
    MAIN: "version = 2\nimports = ['first']\n",
    "first": "imports = ['d/*.toml']\n",
    "d/cri.toml": f"version = 2\n[plugins.'{OLD}']\na = 1\n",
}
REFUSED: dict[str, tuple[str, int, dict[str, str], str]] = {
    "no version": ("containerd", 1, {MAIN: "oom_score = 1\n"}, "no `version` line means 1"),
    "a later version": (
        "containerd",
        2,
        {MAIN: "version = 5\n"},
        "wanted version 1 or 2 or 3 or 4",
    ),
    "a version of 2": ("containerd", 1, {MAIN: "version = 3\n"}, "version 3; wanted version 2"),
    "no TOML": ("containerd", 1, {MAIN: "version =\n"}, "wanted valid TOML"),
    "taken": ("containerd", 1, {MAIN: f"version = 2\n[{HANDLER}]\n"}, "has no record"),
    "taken by an import": ("containerd", 2, IMPORTED, "has no record"),
    "inline": (
        "containerd",
        1,
        {MAIN: f"version = 2\nplugins.'{OLD}'.containerd = {{}}\n"},
        r"by hand:\n(?s:.*)runtimes\.runc\](?s:.*)runtimes\.runc-wrap\.options\]",
    ),
    "replaced": ("containerd", 1, REPLACED, "--config .*/d/cri.toml"),
    "Podman's": (
        "podman",
        0,
        {"containers.conf": "[engine.runtimes]\nrunc-wrap=['x']"},
        "no record",
    ),
    "a list": ("docker", 0, {"daemon.json": '{"runtimes": []}'}, "try:"),
    "Docker's": ("docker", 0, {"daemon.json": '{"runtimes": {"runc-wrap": {}}}'}, "try:"),
    "no JSON": ("docker", 0, {"daemon.json": "{"}, "try:"),
    "CRI-O's": ("crio", 0, {"crio.conf.d/10": "[crio.runtime.runtimes.runc-wrap]\n"}, "no record"),
    "no TOML for CRI-O": ("crio", 0, {"crio.conf.d/10": "[crio"}, r"\.d/10: .*wanted valid TOML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_configuration_that_cannot_be_added_to_is_refused(case: str, tmp_path: Path) -> None:
    engine, major, texts, said = REFUSED[case]
    where = node(tmp_path, engine)
    for name, text in texts.items():
        write(where.config.parent / name, text)
    with pytest.raises(EngineError, match=said):
        registration_plan.plan_add(where, "runc-wrap", FACTS[engine] | {"major": major})


def test_every_podman_drop_in_lists_all_handlers_and_the_earlier_list(tmp_path: Path) -> None:
    where = node(tmp_path, "podman")
    write(where.config, '[engine]\nruntime_supports_json = ["runc"]\n')
    write(
        tmp_path / "etc/containers.conf.d/10.conf",
        '[engine]\nruntime_supports_json = ["mine", {append = true}]\n',
    )
    add(where, "z", crun=True)
    add(where, "a", crun=True, default=True)
    for name in "az":
        engine = toml(tmp_path / f"etc/containers.conf.d/50-runc-wrap-{name}.conf")["engine"]
        assert engine["runtime_supports_json"] == ["runc", "mine", "z", "a"]
        assert engine["runtime_supports_nocgroup"] == ["crun", "krun", "z", "a"]
        assert engine["runtimes"] == {name: [str(where.bin_dir / name)]}
        assert engine.get("runtime") == ("a" if name == "a" else None)


def test_containerds_generation_is_of_its_version_and_an_unknown_one_is_asked_for() -> None:
    printed = ("1.7.24~ds1", "v2.1.4", "2.3.0-rc.1")
    assert [*map(containerd_engine.generation, printed)] == [(1, 7), (2, 1), (2, 3)]
    with pytest.raises(EngineError, match="--containerd-version"):
        containerd_engine.generation(None)
