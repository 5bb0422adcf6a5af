"""The real containerd 1.7, dockerd and Podman read what `engine add` wrote, without a daemon.

Every file belongs to the test; Podman reads it in a mount namespace over /etc/containers.
"""

import json
import os
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from harness.host.processes import Run, attempt, run, script
from runc_wrap.cli.root_command import main
from runc_wrap.doctor import engine_checks
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.containerd.loaded_files import OLD_CRI
from runc_wrap.engines.handler import ANNOTATIONS, EngineError
from runc_wrap.host import program
from runc_wrap.node.paths import Places
from tests.unit.engines import engine_node
from tests.unit.engines.generated_toml import documents, of_podman

CRI = f'[plugins."{OLD_CRI}"'


def _needs(name: str) -> str:
    path = program.locate(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return str(path)


def _node(tmp_path: Path) -> Path:
    (tmp_path / "lib" / "releases").mkdir(parents=True)
    return script(tmp_path / "bin" / "runc-wrap", f'exec {_needs("crun")} "$@"')


def _ctl(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    return dict(json.loads(_main(tmp_path, "engine", *arguments, "--json").stdout))


def _main(tmp_path: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(main, ["--prefix", str(tmp_path), *arguments])
    assert result.exit_code == 0, result.output
    return result


def _containerd(config: Path) -> dict[str, Any]:
    """Return the CRI plugin's containerd section as containerd 1.7 merges it."""
    if " 1.7." not in run([_needs("containerd"), "--version"]).stdout:
        pytest.skip("this containerd is not 1.7")
    found = _dumped(config)
    assert found
    return found


@given(text=documents, default=st.booleans())
@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
def test_containerd_reads_of_any_file_what_it_read_before_and_our_handler(
    text: str, default: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = engine_node.node(tmp_path_factory.mktemp("node"), "containerd")
    engine_node.write(where.config, text)
    before = _dumped(where.config)
    try:
        engine_node.add(where, "x", default=default)
    except EngineError:
        return
    after = _dumped(where.config)
    if before is None:  # a key that TOML allows and containerd does not
        assert after is None
        return
    assert after is not None
    ours = after["runtimes"].pop("x")
    assert ours["options"]["BinaryName"] == str(where.bin_dir / "x")
    assert ours["pod_annotations"] == list(ANNOTATIONS)
    assert ours["runtime_type"] == "io.containerd.runc.v2"
    assert ours["options"].get("SystemdCgroup", False) is _cgroup(before)
    assert after.pop("default_runtime_name") == ("x" if default else before["default_runtime_name"])
    assert sorted(after["runtimes"]) == sorted(before["runtimes"])
    assert _cgroup(after) is _cgroup(before)
    del before["default_runtime_name"], before["runtimes"], after["runtimes"]
    assert after == before
    engine_node.remove(where, "x")
    assert where.config.read_bytes().decode() == text


def _dumped(config: Path) -> dict[str, Any] | None:
    done = attempt([_needs("containerd"), "-c", config, "config", "dump"])
    if done.returncode:
        return None
    return dict(tomllib.loads(done.stdout)["plugins"][OLD_CRI]["containerd"])


def _cgroup(section: dict[str, Any]) -> bool:
    return bool(section["runtimes"]["runc"].get("options", {}).get("SystemdCgroup", False))


def test_containerds_whole_default_config_gets_handlers_and_is_restored(
    tmp_path: Path,
) -> None:
    """As many write it to config.toml."""
    wrapper, config = _node(tmp_path), tmp_path / "config.toml"
    text = run([_needs("containerd"), "config", "default"]).stdout
    config.write_text(text)
    for name in "ab":
        _ctl(tmp_path, "add", "containerd", "--config", str(config), "--default", "--handler", name)
    found = _containerd(config)
    assert found["default_runtime_name"] == "b"
    assert found["runtimes"]["a"]["options"]["BinaryName"] == str(wrapper.with_name("a"))
    for name in "ab":
        _ctl(tmp_path, "remove", "containerd", "--handler", name)
    assert config.read_text() == text


@pytest.mark.parametrize("is_imported", [False, True])
def test_containerd_ignores_a_drop_in_that_it_does_not_import_and_doctor_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_imported: bool
) -> None:
    wrapper, config = _node(tmp_path), tmp_path / "config.toml"
    monkeypatch.setattr(Containerd, "usual", config)
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "own.toml").write_text(
        f'version = 2\n{CRI}.containerd.runtimes.own]\nruntime_type = "io.containerd.runc.v2"\n'
        f'{CRI}.containerd.runtimes.own.options]\nBinaryName = "{wrapper}"\n'
    )
    imports = f'imports = ["{folder}/*.toml"]\n' if is_imported else ""
    config.write_text(f"{imports}version = 2\n")
    assert ("own" in _containerd(config)["runtimes"]) is is_imported
    told = [each.sentence for each in engine_checks.handlers(Places(tmp_path))]
    ignored = f"{folder}/own.toml defines the handler own, but {config} does not import it"
    assert told == ([] if is_imported else [ignored])


@pytest.mark.parametrize("text", [None, "{}", '{"runtimes": {"k": {"path": "/k"}}}'])
def test_dockerd_accepts_the_file(text: str | None, tmp_path: Path) -> None:
    dockerd, config = _needs("dockerd"), tmp_path / "daemon.json"
    _node(tmp_path)
    if text:
        config.write_text(text)
    _ctl(tmp_path, "add", "docker", "--config", str(config), "--default")
    validate = [dockerd, "--validate", f"--config-file={config}"]
    done = attempt(validate)
    assert (done.returncode, done.stderr) == (0, "configuration OK\n")
    config.write_text(config.read_text().replace('"default-runtime": "runc-wrap"', '"nope": 1'))
    assert attempt(validate).returncode == 1


@pytest.fixture
def containers(tmp_path: Path) -> Path:
    """A copy of /etc/containers, to be mounted over it."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount over /etc/containers")
    copy = tmp_path / "containers"
    shutil.copytree("/etc/containers", copy, symlinks=True)
    shutil.rmtree(copy / "containers.conf.d", ignore_errors=True)
    return copy


def _podman(tmp_path: Path, containers: Path, *arguments: str) -> Run:
    text = 'mount --bind "$0" /etc/containers && exec "$@"'
    own = [f"--root={tmp_path}/s", f"--runroot={tmp_path}/r", f"--tmpdir={tmp_path}/t"]
    podman = [_needs("podman"), *own, "--storage-driver=vfs", "--cgroup-manager=cgroupfs"]
    return attempt(["unshare", "-m", "sh", "-c", text, containers, *podman, *arguments])


@given(text=of_podman, default=st.booleans())
@settings(max_examples=10, suppress_health_check=list(HealthCheck), deadline=None)
def test_podman_reads_of_any_file_what_it_read_before_and_our_handler(
    text: str, default: bool, containers: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("node")
    config = engine_node.write(containers / "containers.conf", text)
    where = replace(engine_node.node(folder, "podman"), config=config)
    script(where.bin_dir / "runc-wrap", "echo runc version 1.1")
    before = _shown(folder, containers)
    try:
        engine_node.add(where, "x", default=default)
    except EngineError:
        assert _shown(folder, containers) == before
        return
    ours = ("x", str(where.bin_dir / "x"))
    event("Podman refuses it" if before is None else "added")
    if before is None:  # a value of another type than Podman's, say
        assert _shown(folder, containers, "--runtime", "x") is None
    else:
        assert _shown(folder, containers, "--runtime", "x") == ours
        assert _shown(folder, containers) == (ours if default else before)
    engine_node.remove(where, "x")
    assert _shown(folder, containers) == before


def _shown(tmp_path: Path, containers: Path, *words: str) -> tuple[str, str] | None:
    done = _podman(tmp_path, containers, *words, "info", "--format", "{{json .Host.OCIRuntime}}")
    if done.returncode:
        return None
    found = json.loads(done.stdout)
    return (found["name"], found["path"]) if found else None  # no runtime that answers


def test_podman_trusts_us_with_no_cgroups_when_crun_does_the_work(
    tmp_path: Path, containers: Path
) -> None:
    _node(tmp_path)
    (tmp_path / "rootfs").mkdir()
    create = ["create", "--cgroups=disabled", "--network=none", "--rootfs"]
    command = ["--runtime", "runc-wrap", *create, str(tmp_path / "rootfs"), "/x"]
    (tmp_path / "etc").mkdir()
    for runtime, status in (("runc", 125), ("crun", 0)):
        _needs(runtime)
        (tmp_path / "etc/config.toml").write_text(f'runtime = ["{runtime}"]\n')
        _main(tmp_path, "apply")
        _ctl(tmp_path, "add", "podman", "--config", str(containers / "containers.conf"))
        done = _podman(tmp_path, containers, *command)
        assert done.returncode == status, done.stderr
        assert ("not compatible with NoCgroups" in done.stderr) is (runtime == "runc")


def _listening(tmp_path: Path, containers: Path) -> tuple[Path, Path]:
    """Return a wrapper that records its arguments, and an empty directory of drop-ins."""
    wrapper, folder = _node(tmp_path), containers / "containers.conf.d"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/argv\nexit 1\n')
    folder.mkdir()
    return wrapper, folder


def _argv(tmp_path: Path, containers: Path, runtime: str) -> str:
    """Return how Podman calls `runtime` at create."""
    log = tmp_path / "argv"
    log.write_text("")
    (tmp_path / "rootfs").mkdir(exist_ok=True)
    run = ["run", "--rm", "--network=none", "--rootfs", str(tmp_path / "rootfs"), "/x"]
    _podman(tmp_path, containers, "--runtime", runtime, *run)
    return next(line for line in log.read_text().splitlines() if " create " in f" {line} ")


def test_podman_gives_us_its_log_and_crun_keeps_its_own(tmp_path: Path, containers: Path) -> None:
    wrapper, folder = _listening(tmp_path, containers)
    owners = f'[engine.runtimes]\ncrun = ["{wrapper}"]\nunlisted = ["{wrapper}"]\n'
    (folder / "10.conf").write_text(owners)
    _ctl(tmp_path, "add", "podman", "--config", str(containers / "containers.conf"))
    assert "--log " not in _argv(tmp_path, containers, "unlisted")
    assert "--log-format=json --log " in _argv(tmp_path, containers, "runc-wrap")
    assert "--log-format=json --log " in _argv(tmp_path, containers, "crun")


LISTS = [
    (["'a'", "'b'"], False),
    (["'a'", "'b', {append = true}"], True),
    (["'a', {append = true}", "'b'"], True),
    (["'a', {append = true}", "'b', {append = false}"], False),
]


@pytest.mark.parametrize(("lists", "listed"), LISTS)
def test_podman_appends_to_a_list_as_we_read_it(
    lists: list[str], listed: bool, tmp_path: Path, containers: Path
) -> None:
    wrapper, folder = _listening(tmp_path, containers)
    (folder / "0.conf").write_text(f'[engine.runtimes]\na = ["{wrapper}"]\n')
    for index, text in enumerate(lists, start=1):
        path = folder / f"{index}.conf"
        path.write_text(f"[engine]\nruntime_supports_json = [{text}]\n")
    assert ("--log " in _argv(tmp_path, containers, "a")) is listed
    _ctl(tmp_path, "add", "podman", "--config", str(containers / "containers.conf"))
    ours = tomllib.loads((folder / "50-runc-wrap-runc-wrap.conf").read_text())
    assert ("a" in ours["engine"]["runtime_supports_json"]) is listed


def test_buildah_calls_the_default_named_for_podman(tmp_path: Path, containers: Path) -> None:
    _listening(tmp_path, containers)
    assert "create" not in _built(tmp_path, containers)
    config = str(containers / "containers.conf")
    _ctl(tmp_path, "add", "podman", "--config", config, "--default", "--handler", "x")
    assert " create --bundle " in f" {_built(tmp_path, containers)}"


def _built(tmp_path: Path, containers: Path) -> str:
    """Return what our runtime was called with by `buildah run`, which that makes fail."""
    log = tmp_path / "argv"
    log.write_text("")
    own = f"--root {tmp_path}/s --runroot {tmp_path}/r --storage-driver vfs"
    text = f"""mount --bind {containers} /etc/containers || exit 2
        b='{_needs("buildah")} {own}'
        c=$($b from scratch) || exit 3
        $b run --isolation oci --network host $c /x
        $b rm $c >/dev/null || exit 4
    """
    run(["unshare", "-m", "sh", "-c", text])
    return log.read_text()
