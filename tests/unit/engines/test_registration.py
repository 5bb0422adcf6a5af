"""Registering and removing, for every engine: the removal is exact, in any order.

And what must not happen to an engine's files: a partial change, a lost mode, an overwritten edit.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runc_wrap.engines import engine_files
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.host.change_set import ChangedMeanwhile
from tests.unit.engines.engine_node import FACTS, add, node, remove, snapshot, toml, write

SYSTEMD = """version = 2
# mine
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"  # ours
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
"""


DAEMON = '{\n  "runtimes": {"k": {"path": "/k"}},\n  "default-runtime": "k"\n}'
OWNERS = {
    "containerd": [None, "", "version = 2\n", "version = 2", SYSTEMD],
    "podman": [None, "", '[engine]\nruntime = "crun"\nruntime_supports_json = ["crun", "mine"]\n'],
    "crio": [None, "", '[crio.runtime]\ndefault_runtime = "runc"\n'],
    "docker": [None, "", "{}", DAEMON],
}


CASES = [(engine, text) for engine, texts in OWNERS.items() for text in texts]
MAJORS = [("containerd", 1), ("containerd", 2), ("crio", 0), ("podman", 0), ("docker", 0)]


@pytest.mark.parametrize(("engine", "text"), CASES)
@given(
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=6),
    major=st.sampled_from([1, 2]),
)
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_any_order_of_adds_and_removes_restores_the_original(
    engine: str,
    text: str | None,
    steps: list[tuple[str, bool, bool]],
    major: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tmp_path = tmp_path_factory.mktemp("node")
    where = node(tmp_path, engine)
    write(where.config, text)
    before = snapshot(tmp_path)
    for name, removing, default in steps:
        if removing:
            remove(where, name)
        else:
            add(where, name, default=default, major=major)
    for name in "abc":
        remove(where, name)
    assert snapshot(tmp_path) == before
    assert not list(where.state_dir.iterdir()) if where.state_dir.exists() else True


@pytest.mark.parametrize(("engine", "text"), CASES)
def test_adding_twice_is_adding_once(engine: str, text: str | None, tmp_path: Path) -> None:
    where = node(tmp_path, engine)
    write(where.config, text)
    add(where, "x", default=True)
    once = snapshot(tmp_path)
    assert registration_plan.plan_add(where, "x", FACTS.get(engine, {})).is_empty
    add(where, "x")
    assert snapshot(tmp_path) == once


def test_a_file_that_we_created_stays_if_its_owner_wrote_into_it(tmp_path: Path) -> None:
    where = node(tmp_path, "containerd")
    add(where, major=2)
    where.config.write_text(where.config.read_text() + "[debug]\nlevel = 'info'\n")
    remove(where)
    assert toml(where.config)["version"] == 3
    assert not (tmp_path / "etc/conf.d").exists()


@pytest.mark.parametrize(("engine", "major"), MAJORS)
def test_our_part_is_shown_and_left_if_changed(engine: str, major: int, tmp_path: Path) -> None:
    where = node(tmp_path, engine)
    add(where, major=major)
    for path in (tmp_path / "etc").rglob("*.*"):
        if path.is_file():
            path.write_text(path.read_text().replace(f"{where.bin_dir}/runc-wrap", "/theirs"))
    before = snapshot(tmp_path)
    with pytest.raises(EngineError, match="changed since") as refused:
        remove(where)
    assert all(each in str(refused.value) for each in ("/theirs", str(where.bin_dir)))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("engine", OWNERS)
def test_our_part_may_be_missing_if_its_owner_removed_it(engine: str, tmp_path: Path) -> None:
    where = node(tmp_path, engine)
    add(where)
    for path in (tmp_path / "etc").rglob("*.*"):
        if path.is_file():
            path.unlink()
    remove(where)
    assert not registration_state.states(where.state_dir)


def test_the_link_is_created_once_and_removed_with_its_last_engine(tmp_path: Path) -> None:
    docker, podman = node(tmp_path, "docker"), node(tmp_path, "podman")
    add(docker, "x")
    add(podman, "x")
    assert (tmp_path / "bin/x").readlink() == Path("runc-wrap")
    remove(docker, "x")
    assert (tmp_path / "bin/x").is_symlink()
    remove(podman, "x")
    assert not (tmp_path / "bin/x").is_symlink()
    assert (tmp_path / "bin/runc-wrap").exists()


def test_a_name_taken_in_the_bin_directory_is_refused(tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    (where.bin_dir / "x").touch()
    with pytest.raises(EngineError, match="another --handler"):
        registration_plan.plan_add(where, "x", {})


HANDED = [(engine, text, major) for engine, major in MAJORS for text in OWNERS[engine]]


@pytest.mark.parametrize(("engine", "text", "major"), HANDED)
def test_a_handler_that_is_handed_over_stays_and_is_forgotten(
    engine: str, text: str | None, major: int, tmp_path: Path
) -> None:
    """The other one is removed exactly afterwards, and what was handed over stays as it is."""
    where = node(tmp_path, engine)
    write(where.config, text)
    add(where, default=True, major=major)
    remove(where, runtime=Path("/real"))
    alone = snapshot(tmp_path / "etc")
    assert not [*where.state_dir.iterdir()]
    files = [path for path in (tmp_path / "etc").rglob("*.*") if path.is_file()]
    written = "".join(path.read_text() for path in files)
    assert written.count('"/real"') == 1
    assert str(where.bin_dir) not in written
    add(where, "b", major=major)
    remove(where, "b")
    assert snapshot(tmp_path / "etc") == alone
    with pytest.raises(EngineError, match=r"no record; try: another|not as we wrote it"):
        add(where, major=major)


@pytest.mark.parametrize(("text", "left"), [(None, None), ("", ""), ("{}", "{}\n")])
def test_a_daemon_json_that_is_empty_again_is_as_it_was(
    text: str | None, left: str | None, tmp_path: Path
) -> None:
    where = node(tmp_path, "docker")
    write(where.config, text)
    add(where)
    where.config.write_text(json.dumps(json.loads(where.config.read_text())) + "\n")
    remove(where)
    assert (where.config.read_text() if where.config.exists() else None) == left


def _rewritten(where: Where) -> None:
    """Write every file of ours without comments, as a program does that parses and prints it."""
    for name in registration_state.of(where).files:
        lines = Path(name).read_text().splitlines(keepends=True)
        Path(name).write_text("".join(line for line in lines if not line.startswith("#")))


def _moved(where: Where) -> None:
    """Let a link lead to every file of ours, as configuration management does."""
    for name in registration_state.of(where).files:
        link = Path(name)
        link.symlink_to(link.rename(link.with_name(f"{link.name}.managed")))


@pytest.mark.parametrize("change", [_rewritten, _moved])
@pytest.mark.parametrize(("engine", "major"), MAJORS)
def test_what_names_a_handler_still_is_not_forgotten_with_its_link(
    engine: str, major: int, change: Callable[[Where], None], tmp_path: Path
) -> None:
    """The engine would call a path that is not there any more."""
    where = node(tmp_path, engine)
    write(where.config, "{}" if engine == "docker" else "version = 2\n" if major else "")
    add(where, "strict", default=True, major=major)
    change(where)
    if (engine, change) == ("docker", _rewritten):  # which has no comments
        return
    before = snapshot(tmp_path)
    with pytest.raises(EngineError, match="bin/strict without the marks of runc-wrapctl"):
        remove(where, "strict")
    assert snapshot(tmp_path) == before
    assert registration_state.of(where).names == ["strict"]


def test_a_default_whose_marks_are_gone_is_not_left_without_its_handler(tmp_path: Path) -> None:
    """containerd's CRI plugin would not start again."""
    where = node(tmp_path, "containerd")
    write(where.config, "version = 2\n")
    add(where, "strict", default=True)
    text = re.sub("(?m)^# (BEGIN|END) runc-wrap: default_run.*\n", "", where.config.read_text())
    assert text != where.config.read_text()
    where.config.write_text(text)
    with pytest.raises(EngineError, match="bin/strict without the marks of runc-wrapctl"):
        remove(where, "strict")
    assert where.config.read_text() == text


def test_a_file_that_its_owner_changed_while_the_engine_checked_it_is_named(tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    write(where.config, "{}")
    plan = registration_plan.plan_add(where, "strict", {})

    def refuses() -> None:
        write(where.config, '{"debug": true}')
        raise EngineError("dockerd refuses it")

    with pytest.raises(EngineError, match=f"dockerd refuses it.* but for {where.config}"):
        registration_plan.carry_out(plan, check=refuses)
    assert where.config.read_text() == '{"debug": true}'


def test_a_mode_and_a_symbolic_link_survive(tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    real = write(tmp_path / "real.json", "{}")
    real.chmod(0o640)
    where.config.parent.mkdir()
    where.config.symlink_to(real)
    add(where)
    assert where.config.is_symlink()
    assert "runc-wrap" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640  # nor its owner: tests/unit/host/test_files.py


def test_a_change_that_may_have_restarted_engines_is_not_undone_in_passing(tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    plan = registration_plan.plan_add(where, "x", {})
    registration_plan.carry_out(plan, {"by": "root", "config": str(where.config)})
    with pytest.raises(EngineError, match=f"{where.config} is being changed by root"):
        registration_plan.settle(where.change)
    with pytest.raises(EngineError, match=f"{where.config} is being changed by root"):
        add(where, "y")
    assert "x" in json.loads(where.config.read_text())["runtimes"]


def test_a_file_that_changes_after_the_plan_is_not_overwritten(tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    write(where.config, "{}")
    plan = registration_plan.plan_add(where, "runc-wrap", {})
    where.config.write_text('{"theirs": 1}')
    with pytest.raises(ChangedMeanwhile, match="changed meanwhile"):
        registration_plan.carry_out(plan)
    assert json.loads(where.config.read_text()) == {"theirs": 1}


@pytest.mark.parametrize("data", [b"\xff", b"{}" + b" " * engine_files.MAX_BYTES])
def test_a_file_that_is_not_text_is_refused(data: bytes, tmp_path: Path) -> None:
    where = node(tmp_path, "docker")
    where.config.parent.mkdir()
    where.config.write_bytes(data)
    with pytest.raises(EngineError, match=r"can't decode|is larger than"):
        registration_plan.plan_add(where, "runc-wrap", {})


def test_files_that_are_too_large_to_be_kept_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that cannot be read again would lock the handler in."""
    where = node(tmp_path, "docker")
    write(where.config, '{"a": "\u00e9"}')
    plan = registration_plan.plan_add(where, "x", {})
    size = len(plan.after.text().encode())
    monkeypatch.setattr(engine_files, "MAX_BYTES", size)
    registration_plan.carry_out(registration_plan.plan_add(where, "x", {}))
    assert registration_state.of(where) == plan.after
    remove(where, "x")
    monkeypatch.setattr(engine_files, "MAX_BYTES", size - 1)
    with pytest.raises(EngineError, match=f"wanted {size - 1} bytes at most"):
        registration_plan.plan_add(where, "x", {})


DAMAGED = [
    ('"handlers"', '"others"', "handlers: found nothing"),
    ('"format": 2', '"format": 3', "format: found 3, wanted 2"),
]


@pytest.mark.parametrize(("former", "found", "said"), DAMAGED)
def test_a_state_that_is_damaged_or_of_another_format_is_refused(
    former: str, found: str, said: str, tmp_path: Path
) -> None:
    """`doctor` reports it; without the check it would end with a traceback."""
    where = node(tmp_path, "docker")
    text = registration_state.empty("docker", where.config).text()
    write(where.state_file, text.replace(former, found))
    with pytest.raises(EngineError, match=said):
        registration_state.states(where.state_dir)
