"""Whole registrations on files of a test's own: what is written, and that the undo is true.

containerd 2.x is tested here only: Debian has no containerd 2 to ask.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runc_wrap.node.engine_config import containerd, files, podman, programs, register
from runc_wrap.node.engine_config.handler import ANNOTATIONS, EngineError
from runc_wrap.node.engine_config.register import Where

OLD, NEW = containerd.OLD_CRI, containerd.NEW_CRI
CONFIGS = {
    "containerd": "config.toml",
    "podman": "containers.conf",
    "docker": "daemon.json",
}
FACTS: dict[str, dict[str, Any]] = {
    "containerd": {"major": 1},
    "podman": {"crun": False},
    "docker": {},
}


def _where(tmp_path: Path, engine: str, folder: str = "etc") -> Where:
    binaries = tmp_path / "bin"
    binaries.mkdir(exist_ok=True)
    (binaries / "runc-wrap").touch()
    config = tmp_path / folder / CONFIGS[engine]
    return Where(engine, config, binaries, tmp_path / "var" / "engines")


def _add(where: Where, name: str = "runc-wrap", *, default: bool = False, **facts: Any) -> None:
    wanted = FACTS[where.engine] | facts
    register.carry_out(register.plan_add(where, name, wanted, default=default))


def _remove(where: Where, name: str = "runc-wrap") -> None:
    register.carry_out(register.plan_remove(where, name))


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def _snapshot(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
        if "var" not in path.parts[len(folder.parts) :]
    }


SYSTEMD = """version = 2
# mine
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"  # ours
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
"""
OWNERS = {
    "containerd": [None, "", "version = 2\n", "version = 2", SYSTEMD],
    "podman": [None, "", '[engine]\nruntime = "crun"\nruntime_supports_json = ["crun", "mine"]\n'],
    "docker": [
        None,
        "",
        "{}",
        '{\n  "runtimes": {"k": {"path": "/k"}},\n  "default-runtime": "k"\n}',
    ],
}
CASES = [(engine, text) for engine, texts in OWNERS.items() for text in texts]


@pytest.mark.parametrize(("engine", "text"), CASES)
@given(
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=6),
    major=st.sampled_from([1, 2]),
)
@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
def test_any_order_of_adds_and_removes_ends_where_it_began(
    engine: str,
    text: str | None,
    steps: list[tuple[str, bool, bool]],
    major: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tmp_path = tmp_path_factory.mktemp("node")
    where = _where(tmp_path, engine)
    if text is not None:
        _write(where.config, text)
    before = _snapshot(tmp_path)
    for name, remove, default in steps:
        if remove:
            _remove(where, name)
        else:
            _add(where, name, default=default, **({"major": major} if "a" in engine else {}))
    for name in "abc":
        _remove(where, name)
    assert _snapshot(tmp_path) == before
    assert not list(where.state_dir.iterdir()) if where.state_dir.exists() else True


@pytest.mark.parametrize(("engine", "text"), CASES)
def test_adding_twice_is_adding_once(engine: str, text: str | None, tmp_path: Path) -> None:
    where = _where(tmp_path, engine)
    if text is not None:
        _write(where.config, text)
    _add(where, "x", default=True)
    once = _snapshot(tmp_path)
    assert register.plan_add(where, "x", FACTS[engine]).nothing
    _add(where, "x")
    assert _snapshot(tmp_path) == once


def test_a_plan_alone_writes_nothing(tmp_path: Path) -> None:
    where = _where(tmp_path, "containerd")
    before = _snapshot(tmp_path)
    assert register.plan_add(where, "x", {"major": 1}).changes
    assert _snapshot(tmp_path) == before
    assert not where.state_dir.exists()


def test_containerd_1_repeats_what_runc_has_and_keeps_runc(tmp_path: Path) -> None:
    where = _where(tmp_path, "containerd")
    _write(
        where.config,
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\n'
        'runtime_type = "io.containerd.runc.v2"\nsnapshotter = "zfs"\n'
        'pod_annotations = ["mine/*"]\n'
        'options = {SystemdCgroup = true, BinaryName = "/usr/bin/crun", Root = "/run/r"}\n',
    )
    _add(where)
    runtimes = _toml(where.config)["plugins"][OLD]["containerd"]["runtimes"]
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


def test_containerd_1_brings_runc_along_where_none_is_written(tmp_path: Path) -> None:
    where = _where(tmp_path, "containerd")
    _add(where)
    runtimes = _toml(where.config)["plugins"][OLD]["containerd"]["runtimes"]
    assert runtimes["runc"] == {"runtime_type": "io.containerd.runc.v2"}


@pytest.mark.parametrize("version", [3, 4])
def test_containerd_2_gets_a_drop_in_and_an_import(version: int, tmp_path: Path) -> None:
    where = _where(tmp_path, "containerd")
    runc = f"[plugins.'{NEW}'.containerd.runtimes.runc.options]\nSystemdCgroup = true\n"
    _write(where.config, f"version = {version}\nimports = [ 'x/*.toml' ]\n{runc}")
    _add(where, default=True, major=2)
    drop_in = _toml(where.config.parent / "conf.d" / "50-runc-wrap-runc-wrap.toml")
    section = drop_in["plugins"][NEW]["containerd"]
    assert drop_in["version"] == version
    assert section["default_runtime_name"] == "runc-wrap"
    assert section["runtimes"]["runc-wrap"]["options"]["SystemdCgroup"] is True
    assert _toml(where.config)["imports"] == [f"{where.config.parent}/conf.d/*.toml", "x/*.toml"]


def test_an_import_of_a_parent_directory_is_not_one_of_conf_d(tmp_path: Path) -> None:
    where = _where(tmp_path, "containerd")
    _write(where.config, f"version = 3\nimports = ['{where.config.parent}/*.toml']\n")
    _add(where, major=2)
    assert len(_toml(where.config)["imports"]) == 2


def test_containerd_2_with_an_old_config_file_keeps_its_version(tmp_path: Path) -> None:
    where = _where(tmp_path, "containerd")
    _write(where.config, "version = 2\n")
    _add(where, major=2)
    drop_in = _toml(where.config.parent / "conf.d" / "50-runc-wrap-runc-wrap.toml")
    assert (drop_in["version"], list(drop_in["plugins"])) == (2, [OLD])


@pytest.mark.parametrize("listed", ["conf.d/*.toml", "conf.d/50-*.toml", "{folder}/conf.d/*"])
def test_containerd_2_that_imports_conf_d_already_is_left_alone(
    listed: str, tmp_path: Path
) -> None:
    where = _where(tmp_path, "containerd")
    text = f"version = 3\nimports = ['{listed.format(folder=where.config.parent)}']\n"
    _write(where.config, text)
    _add(where, major=2)
    assert where.config.read_text() == text


@pytest.mark.parametrize(
    ("text", "major", "sentence"),
    [
        ('disabled_plugins = ["cri"]\n', 1, "no `version` line means 1"),
        ("version = 1\n", 2, "config version 1; wanted version 2 or 3 or 4"),
        ("version = 3\n", 1, "config version 3; wanted version 2"),
        ("version =\n", 1, "wanted valid TOML"),
        (f"version = 2\n[plugins.'{OLD}'.containerd.runtimes.runc-wrap]\n", 1, "has no record"),
        (f"version = 2\nplugins.'{OLD}'.containerd = {{}}\n", 1, "put this in by hand"),
    ],
)
def test_a_containerd_config_that_cannot_be_added_to_is_refused(
    text: str, major: int, sentence: str, tmp_path: Path
) -> None:
    where = _where(tmp_path, "containerd")
    _write(where.config, text)
    with pytest.raises(EngineError, match=sentence):
        register.plan_add(where, "runc-wrap", {"major": major})


def test_containerd_1_refuses_a_file_whose_cri_section_another_one_replaces(tmp_path: Path) -> None:
    where = _where(tmp_path, "containerd")
    other = _write(tmp_path / "etc/d/cri.toml", f"version = 2\n[plugins.'{OLD}']\na = 1\n")
    _write(tmp_path / "etc/first.toml", "imports = ['d/*.toml']\n")
    _write(where.config, "version = 2\nimports = ['first.toml']\n")
    with pytest.raises(EngineError, match=f"--config {other}"):
        register.plan_add(where, "runc-wrap", {"major": 1})


@pytest.mark.parametrize(("major", "name"), [(1, "config.toml.tmpl"), (2, "config-v3.toml.tmpl")])
def test_a_generated_config_is_refused_with_the_block_for_its_template(
    major: int, name: str, tmp_path: Path
) -> None:
    config = Path(containerd.GENERATED["k3s"]) / "config.toml"
    where = Where("containerd", config, _where(tmp_path, "containerd").bin_dir, tmp_path / "var")
    with pytest.raises(EngineError, match=name) as refused:
        register.plan_add(where, "runc-wrap", {"major": major})
    assert f'BinaryName = "{where.bin_dir}/runc-wrap"' in str(refused.value)


def test_a_generating_distribution_is_seen(tmp_path: Path) -> None:
    assert containerd.generated_here(tmp_path) is None
    (tmp_path / "var/lib/rancher/rke2/agent/etc/containerd").mkdir(parents=True)
    assert containerd.generated_here(tmp_path) == f"{containerd.GENERATED['rke2']}/config.toml"


def test_a_disabled_cri_plugin_is_told(tmp_path: Path) -> None:
    where = _where(tmp_path, "containerd")
    _write(where.config, f'version = 2\ndisabled_plugins = ["{OLD}"]\n')
    plan = register.plan_add(where, "runc-wrap", {"major": 1})
    assert "disables the CRI plugin" in plan.notes[0]


def test_every_podman_drop_in_lists_all_handlers_and_what_was_in_force(tmp_path: Path) -> None:
    where = _where(tmp_path, "podman")
    _write(where.config, '[engine]\nruntime_supports_json = ["runc"]\n')
    _write(
        tmp_path / "etc/containers.conf.d/10.conf",
        '[engine]\nruntime_supports_json = ["mine", {append = true}]\n',
    )
    _add(where, "z", crun=True)
    _add(where, "a", crun=True, default=True)
    for name in "az":
        engine = _toml(tmp_path / f"etc/containers.conf.d/50-runc-wrap-{name}.conf")["engine"]
        assert engine["runtime_supports_json"] == ["runc", "mine", "z", "a"]
        assert engine["runtime_supports_nocgroup"] == ["crun", "krun", "z", "a"]
        assert engine["runtimes"] == {name: [str(where.bin_dir / name)]}
        assert engine.get("runtime") == ("a" if name == "a" else None)


@pytest.mark.parametrize(
    ("lists", "in_force"),
    [
        (["'a'", "'b'"], ["b"]),
        (["'a'", "'b', {append = true}"], ["a", "b"]),
        (["'a', {append = true}", "'b'"], [*podman.BUILT_IN["runtime_supports_json"], "a", "b"]),
        (["{append = true}", "'b', {append = false}"], ["b"]),
    ],
)
def test_podmans_lists_are_read_as_podman_reads_them(
    lists: list[str], in_force: list[str], tmp_path: Path
) -> None:
    where = _where(tmp_path, "podman")
    for index, text in enumerate(lists):
        path = tmp_path / f"etc/containers.conf.d/{index}.conf"
        _write(path, f"[engine]\nruntime_supports_json = [{text}]\n")
    _add(where, "x")
    found = _toml(tmp_path / "etc/containers.conf.d/50-runc-wrap-x.conf")["engine"]
    assert found["runtime_supports_json"] == [*in_force, "x"]


def test_a_podman_runtime_of_the_owners_is_refused(tmp_path: Path) -> None:
    where = _where(tmp_path, "podman")
    _write(where.config, "[engine.runtimes]\nx = ['/x']\n")
    with pytest.raises(EngineError, match="not ours"):
        register.plan_add(where, "x", {"crun": False})


def test_docker_keeps_order_and_indentation(tmp_path: Path) -> None:
    where = _where(tmp_path, "docker")
    _write(where.config, '{\n  "z": 1,\n  "runtimes": {},\n  "a": [1,2]\n}\n')
    _add(where)
    assert where.config.read_text() == (
        '{\n  "z": 1,\n  "runtimes": {\n    "runc-wrap": {\n'
        f'      "path": "{where.bin_dir}/runc-wrap"\n    }}\n  }},\n  "a": [1,2]\n}}\n'
    )


@pytest.mark.parametrize("text", ['{"runtimes": []}', '{"runtimes": {"runc-wrap": {}}}', "{"])
def test_a_daemon_json_that_cannot_be_added_to_is_refused(text: str, tmp_path: Path) -> None:
    where = _where(tmp_path, "docker")
    _write(where.config, text)
    with pytest.raises(EngineError, match="try:"):
        register.plan_add(where, "runc-wrap", {})


def test_what_the_owner_wrote_since_stays_and_only_ours_goes(tmp_path: Path) -> None:
    where = _where(tmp_path, "containerd")
    _write(where.config, "version = 2\n[grpc]\ngid = 1\n")
    _add(where, default=True)
    text = where.config.read_text().replace("gid = 1", "gid = 2  # theirs")
    where.config.write_text(f"# top\n{text}\n[debug]\nlevel = 'info'\n")
    _remove(where)
    assert where.config.read_text() == (
        "# top\nversion = 2\n[grpc]\ngid = 2  # theirs\n\n[debug]\nlevel = 'info'\n"
    )


def test_a_file_we_made_stays_once_its_owner_wrote_into_it(tmp_path: Path) -> None:
    where = _where(tmp_path, "containerd")
    _add(where, major=2)
    where.config.write_text(where.config.read_text() + "[debug]\nlevel = 'info'\n")
    _remove(where)
    assert _toml(where.config)["version"] == 3
    assert not (tmp_path / "etc/conf.d").exists()


@pytest.mark.parametrize("engine", CONFIGS)
@pytest.mark.parametrize("major", [1, 2])
def test_a_part_of_ours_that_was_changed_is_shown_and_left(
    engine: str, major: int, tmp_path: Path
) -> None:
    where = _where(tmp_path, engine)
    facts: dict[str, Any] = {"major": major} if engine == "containerd" else {}
    _add(where, **facts)
    changed = [path for path in (tmp_path / "etc").rglob("*.*") if path.is_file()]
    for path in changed:
        path.write_text(path.read_text().replace(f"{where.bin_dir}/runc-wrap", "/theirs"))
    before = _snapshot(tmp_path)
    with pytest.raises(EngineError, match="changed since") as refused:
        _remove(where)
    assert "/theirs" in str(refused.value)
    assert str(where.bin_dir) in str(refused.value)
    assert _snapshot(tmp_path) == before


@pytest.mark.parametrize("engine", ["containerd", "podman"])
def test_a_drop_in_of_ours_that_its_owner_wrote_into_is_refused(
    engine: str, tmp_path: Path
) -> None:
    where = _where(tmp_path, engine)
    facts: dict[str, Any] = {"major": 2} if engine == "containerd" else {}
    _add(where, **facts)
    drop_in = next((tmp_path / "etc").rglob("50-runc-wrap-*"))
    drop_in.write_text(drop_in.read_text() + "[theirs]\na = 1\n")
    before = _snapshot(tmp_path)
    with pytest.raises(EngineError, match="changed since"):
        _remove(where)
    assert _snapshot(tmp_path) == before


@pytest.mark.parametrize("engine", CONFIGS)
def test_a_part_of_ours_that_its_owner_took_out_is_not_missed(engine: str, tmp_path: Path) -> None:
    where = _where(tmp_path, engine)
    _add(where)
    for path in (tmp_path / "etc").rglob("*.*"):
        if path.is_file():
            path.unlink()
    _remove(where)
    assert not register.states(where.state_dir)


def test_the_link_is_made_once_and_goes_with_its_last_engine(tmp_path: Path) -> None:
    docker, podman = _where(tmp_path, "docker"), _where(tmp_path, "podman")
    _add(docker, "x")
    _add(podman, "x")
    assert (tmp_path / "bin/x").readlink() == Path("runc-wrap")
    _remove(docker, "x")
    assert (tmp_path / "bin/x").is_symlink()
    _remove(podman, "x")
    assert not (tmp_path / "bin/x").is_symlink()
    assert (tmp_path / "bin/runc-wrap").exists()


def test_a_name_taken_in_the_bin_directory_is_refused(tmp_path: Path) -> None:
    where = _where(tmp_path, "docker")
    (where.bin_dir / "x").touch()
    with pytest.raises(EngineError, match="another --handler"):
        register.plan_add(where, "x", {})


def test_a_wrapper_that_is_not_installed_is_not_registered(tmp_path: Path) -> None:
    where = _where(tmp_path, "docker")
    (where.bin_dir / "runc-wrap").unlink()
    with pytest.raises(EngineError, match=r"try: install\.sh"):
        register.plan_add(where, "x", {})


def test_mode_owner_and_a_symbolic_link_survive(tmp_path: Path) -> None:
    where = _where(tmp_path, "docker")
    real = _write(tmp_path / "real.json", "{}")
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 1, 2)
    owner = (real.stat().st_uid, real.stat().st_gid)
    where.config.parent.mkdir()
    where.config.symlink_to(real)
    _add(where)
    assert where.config.is_symlink()
    assert "runc-wrap" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640
    assert (real.stat().st_uid, real.stat().st_gid) == owner


def test_an_error_midway_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = _where(tmp_path, "containerd")
    _write(where.config, "version = 3\n")
    before, real = _snapshot(tmp_path), files.write

    def full(path: Path, text: str, mode: int = 0o644) -> None:
        if "conf.d" in str(path.parent):
            raise OSError(28, "No space left on device")
        real(path, text, mode)

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(OSError, match="No space"):
        _add(where, "x", major=2)
    assert _snapshot(tmp_path) == before
    assert not register.states(where.state_dir)


def _killed_at(step: int, where: Where, name: str, *, remove: bool) -> None:
    """Add or remove in a process of its own that ends without a word before its write `step`."""
    if (pid := os.fork()) != 0:
        os.waitpid(pid, 0)
        return
    real, left = files.write, [step]

    def write(path: Path, text: str, mode: int = 0o644) -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(9)
        real(path, text, mode)

    files.write = write
    try:
        _remove(where, name) if remove else _add(where, name, major=2)
    finally:
        os._exit(0)


@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("first", [None, "b"])
@pytest.mark.parametrize("remove", [False, True])
def test_a_command_killed_at_any_write_can_be_run_again(
    step: int, first: str | None, remove: bool, tmp_path: Path
) -> None:
    where = _where(tmp_path, "containerd")
    _write(where.config, "version = 3\n")
    before = _snapshot(tmp_path)
    if first:
        _add(where, first, major=2)
    if remove:
        _add(where, "x", major=2)
    _killed_at(step, where, "x", remove=remove)
    _add(where, "x", major=2)
    assert "bin/x" in (tmp_path / "etc/conf.d/50-runc-wrap-x.toml").read_text()
    for name in filter(None, ("x", first)):
        _remove(where, name)
    assert _snapshot(tmp_path) == before


def test_a_file_that_changes_after_the_plan_is_not_overwritten(tmp_path: Path) -> None:
    where = _where(tmp_path, "docker")
    _write(where.config, "{}")
    plan = register.plan_add(where, "runc-wrap", {})
    where.config.write_text('{"theirs": 1}')
    with pytest.raises(EngineError, match="changed just now"):
        register.carry_out(plan)
    assert json.loads(where.config.read_text()) == {"theirs": 1}


@pytest.mark.parametrize("data", [b"\xff", b"{}" + b" " * files.MAX_BYTES])
def test_a_file_that_is_no_text_is_refused(data: bytes, tmp_path: Path) -> None:
    where = _where(tmp_path, "docker")
    where.config.parent.mkdir()
    where.config.write_bytes(data)
    with pytest.raises(EngineError, match="wanted"):
        register.plan_add(where, "runc-wrap", {})


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    where = _where(tmp_path, "docker")
    _write(where.state_file, '{"format": 2}')
    with pytest.raises(EngineError, match="format 2"):
        register.plan_remove(where, "runc-wrap")


@pytest.mark.parametrize(
    ("printed", "generation"),
    [("1.7.24~ds1", 1), ("v2.1.4", 2), ("2.3.0-rc.1", 2), ("1.6.20", 1)],
)
def test_containerds_generation_is_its_major_version(printed: str, generation: int) -> None:
    assert programs.major(printed) == generation


def test_an_unknown_containerd_asks_for_its_version() -> None:
    with pytest.raises(EngineError, match="--containerd-version"):
        programs.major(None)
