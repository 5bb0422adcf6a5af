"""Finding runtimes and engines, reading their versions, and a change of the runtime's kind."""

import os
from pathlib import Path

import pytest

from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.host import engine_names, program
from runc_wrap.node import installed_programs
from runc_wrap.node.installed_programs import RuntimeNotUsable
from runc_wrap.node.paths import Places
from runc_wrap.policy import policy_store
from runc_wrap.policy.compiler_facts import PolicyError
from tests.unit.evidence.samples import line, write_ledger
from tests.unit.node import machine
from tests.unit.policy.node import compiled

RUNC = "echo 'runc version 1.1.15+ds1'; echo 'commit: 1'"
CRUN = "echo 'crun version 1.21'"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return machine.empty(tmp_path, monkeypatch)


def test_names_are_looked_up_in_the_fixed_path_only(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fake(tmp_path / "evil", "runc", RUNC)
    machine.fake(folder, "runc", RUNC).chmod(0o644)  # and may not be executed
    (folder / "crun").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "evil"))
    monkeypatch.chdir(tmp_path / "evil")
    with pytest.raises(RuntimeNotUsable, match=f"none of the runtimes runc, crun .* {folder}"):
        installed_programs.find_runtime(["runc", "crun"])


def test_a_runtime_that_an_engine_brings_is_taken_where_there_is_no_other(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its link, which an upgrade of k3s lets lead elsewhere."""
    own = machine.fake(tmp_path / "data/1", "crun", CRUN)
    link = tmp_path / "data/current"
    link.symlink_to("1")
    monkeypatch.setattr(installed_programs, "_ENGINES_OWN", (tmp_path / "no", link))
    assert installed_programs.find_runtime(["runc", "crun"]).path == link / "crun"
    assert installed_programs.find_runtime([str(own)]).version == "1.21"
    installed = machine.fake(folder, "runc", RUNC)
    assert installed_programs.find_runtime(["runc", "crun"]).path == installed


@pytest.mark.skipif(os.geteuid() != 0, reason="root gives files away")
@pytest.mark.parametrize("whose", ["the file", "its directory", "anybody's"])
def test_root_runs_no_runtime_others_may_write(folder: Path, tmp_path: Path, whose: str) -> None:
    """As a policy may name one: in a pod's files, say."""
    witness = tmp_path / "executed"
    theirs = machine.fake(tmp_path / "theirs", "runc", f"touch {witness}; echo runc version 1.2.4")
    if whose == "anybody's":
        theirs.chmod(0o777)
    else:
        os.chown(theirs if whose == "the file" else theirs.parent, 1234, 1234)
    (folder / "runc").symlink_to(theirs)
    for name in (str(theirs), "runc"):
        with pytest.raises(RuntimeNotUsable, match=r"so others could replace .*, which root"):
            installed_programs.find_runtime([name])
        assert program.output(name, "--version") is None
        assert "which root would execute" in program.failure(name, "--version")
    with pytest.raises(OSError, match="which root would execute"), program.reading(str(theirs)):
        pass
    assert not witness.exists()


def test_a_program_that_is_not_a_runtime_is_refused_with_its_output(folder: Path) -> None:
    for script, said in (
        ("exec real # runc-wrapctl apply", "is runc-wrap itself"),
        ("exit 1", "--version printed ''"),
        (f"{RUNC}; exit 1", "--version printed ''"),
        ("echo 'runsc version release-1'", "printed 'runsc version release-1.n'"),
        ("printf 'runc version'", "not `runc version ...` or `crun version ...`"),
    ):
        machine.fake(folder, "runc", script)
        with pytest.raises(RuntimeNotUsable, match=said):
            installed_programs.find_runtime(["runc"])


def test_a_version_is_read_as_each_engine_prints_it(folder: Path) -> None:
    for engine, printed, version, numbers in (
        ("containerd", "containerd github.com/x 1.7.24~ds1 1.7.24~ds1-6", "1.7.24~ds1", "1.7.24"),
        ("containerd", "containerd github.com/x/v2 v2.1.4 75cb2b7", "2.1.4", "2.1.4"),
        ("docker", "Docker version 26.1.5+dfsg1, build a72d7cd", "26.1.5+dfsg1", "26.1.5"),
        ("podman", "podman version 5.4.2", "5.4.2", "5.4.2"),
        ("buildah", "buildah version 1.39.3 (image-spec 1.1.0)", "1.39.3", "1.39.3"),
        ("crio", "crio version 1.31.0\nVersion: 1.31.0", "1.31.0", "1.31.0"),
        ("podman", "podman version 6.0", "6.0", "6.0"),
    ):
        path = machine.fake(folder, engine_names.KNOWN[engine].program, f"echo '{printed}'")
        assert installed_programs.version_of(path) == version
        assert installed_programs.engine_versions()[engine] == numbers
    path = machine.fake(folder, "podman", r"printf 'podman \377 dev'")
    assert installed_programs.version_of(path) is None
    assert "podman" not in installed_programs.engine_versions()


@pytest.mark.parametrize(("name", "below"), [("k3s", "data/current/bin"), ("rke2", "bin")])
def test_with_a_data_dir_the_distributions_program_is_beneath_that(
    folder: Path, tmp_path: Path, name: str, below: str
) -> None:
    data = tmp_path / "srv" / name
    config = data / "agent/etc/containerd/config.toml"
    assert Containerd.at(config).binary is None
    program = machine.fake(data / below, "containerd", "echo containerd x/v2 v2.1.5 a")
    found = Containerd.at(config)
    assert (found.binary, found.flavour, found.version) == (program, name, "2.1.5")
    assert not [*folder.iterdir()]


def test_the_runtime_in_force_counts_and_then_the_first_found(folder: Path, tmp_path: Path) -> None:
    assert installed_programs.runtime_kind(tmp_path) is None
    machine.fake(folder, "crun", CRUN)
    assert installed_programs.runtime_kind(tmp_path) == "crun"
    policy_store.put_in_force(compiled(runtime_kind="runc"), tmp_path)
    assert installed_programs.runtime_kind(tmp_path) == "runc"


def _applied(prefix: Path, runtime: Path) -> Path:
    kind = runtime.name
    policy_store.put_in_force(compiled(runtime_kind=kind, runtime_path=str(runtime)), prefix)
    return prefix / "lib/runtime"


def test_the_kind_in_force_is_first_while_its_program_exists(folder: Path, tmp_path: Path) -> None:
    links = tmp_path / "lib/runtime"
    assert installed_programs.kind_in_force(links) is None
    assert installed_programs.default_runtimes(links) == ["runc", "crun"]
    crun = machine.fake(folder, "crun", CRUN)
    assert installed_programs.default_runtimes(_applied(tmp_path, crun)) == ["crun", "runc"]
    crun.unlink()
    assert installed_programs.kind_in_force(links) == "crun"
    assert installed_programs.default_runtimes(links) == ["runc", "crun"]
    runc = machine.fake(folder, "runc", RUNC)
    assert installed_programs.default_runtimes(_applied(tmp_path, runc)) == ["runc", "crun"]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """An installation with runc in force."""
    found = Places(tmp_path / "prefix")
    found.runtime.mkdir(parents=True)
    (found.runtime / "runc").symlink_to("/usr/sbin/runc")
    found.ledger.mkdir(parents=True)
    return found


def _made(places: Places, root: Path, name: str) -> Path:
    write_ledger(places.ledger, line(name, root=str(root)))
    (root / name).mkdir(parents=True)
    return root / name


def _refusal(places: Places, kind: str = "crun") -> str:
    with pytest.raises(PolicyError) as told:
        installed_programs.check_switch(places, kind)
    return str(told.value)


def test_existing_containers_are_named_once_and_up_to_three(places: Places, tmp_path: Path) -> None:
    made = [_made(places, tmp_path / "root", name) for name in "abc"]
    for name in ("a", "deleted"):  # an id was used twice
        write_ledger(places.ledger, line(name, root=str(tmp_path / "root")))
    every, said = ", ".join(map(str, made)), _refusal(places)
    assert f"from runc to crun, which cannot manage containers of runc: {every} would be" in said
    assert "Stop and delete these first" in said
    for name in "de":
        _made(places, tmp_path / "root", name)
    assert f"{every} and 2 more would" in _refusal(places)


def test_the_same_kind_and_a_first_one_are_never_refused(places: Places, tmp_path: Path) -> None:
    _made(places, tmp_path / "root", "a")
    installed_programs.check_switch(places, "runc")
    (places.runtime / "runc").unlink()
    installed_programs.check_switch(places, "crun")


def test_a_kind_without_its_program_still_has_containers(places: Places, tmp_path: Path) -> None:
    made = _made(places, tmp_path / "root", "a")
    (places.runtime / "runc").unlink()
    (places.runtime / "crun").symlink_to(tmp_path / "gone")
    said = _refusal(places, "runc")
    assert f"from crun to runc, which cannot manage containers of crun: {made}" in said


def test_the_first_program_found_wins(folder: Path) -> None:
    crun = machine.fake(folder, "crun", CRUN)
    found = installed_programs.find_runtime(["runc", "crun"])
    assert found == installed_programs.InstalledRuntime(crun, "crun", "1.21")
    runc = machine.fake(folder, "runc", RUNC)
    assert installed_programs.find_runtime(["runc", "crun"]).version == "1.1.15+ds1"
    assert installed_programs.find_runtime([str(crun), str(runc)]).path == crun
