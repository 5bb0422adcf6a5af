"""config.json on disk, and its sandbox's: who must own that, and what is read from it."""

import contextlib
import itertools
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from harness.host import disk_faults
from runc_wrap.hotpath import config_file, sandbox_annotations
from runc_wrap.hotpath.config_file import Found
from runc_wrap.hotpath.errors import Refusal


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_bytes(b"old")
    return path


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o666])
def test_the_new_file_has_the_mode_of_the_old(config: Path, mode: int) -> None:
    config.chmod(mode)
    before = os.umask(0o077)
    try:
        config_file.replace(config_file.read(str(config)), b"new")
    finally:
        os.umask(before)
    assert config.read_bytes() == b"new"
    assert stat.S_IMODE(config.stat().st_mode) == mode
    assert _names(config.parent) == ["config.json"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("owner", [(1234, 4321), (0, 4321), (1234, 0)])
def test_the_new_file_has_the_owner_and_group_of_the_old(
    config: Path, owner: tuple[int, int]
) -> None:
    os.chown(config, *owner)
    config_file.replace(config_file.read(str(config)), b"new")
    assert (config.stat().st_uid, config.stat().st_gid) == owner


def test_a_symbolic_link_stays_and_its_target_changes(config: Path) -> None:
    target = config.rename(config.with_name("real.json"))
    config.symlink_to("real.json")
    config_file.replace(config_file.read(str(config)), b"new")
    assert config.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_config_given_as_a_descriptor_in_proc_is_refused_and_stays(config: Path) -> None:
    """It leads to the old file, whatever is renamed over its name."""
    with config.open("rb") as opened:
        found = config_file.read(f"/proc/self/fd/{opened.fileno()}")
        with pytest.raises(Refusal, match="still leads to the old file"):
            config_file.replace(found, b"new")
    assert config.read_bytes() == b"old"


def test_a_file_over_the_limit_is_refused(config: Path) -> None:
    os.truncate(config, config_file.LARGEST + 1)
    with pytest.raises(Refusal, match="larger than"):
        config_file.read(str(config))


def test_a_fifo_is_refused_at_once(config: Path) -> None:
    config.unlink()
    os.mkfifo(config)
    with pytest.raises(Refusal, match="not a regular file"):
        config_file.read(str(config))


def test_a_link_to_itself_is_refused(config: Path) -> None:
    config.unlink()
    config.symlink_to("config.json")
    with pytest.raises(Refusal, match="too many symbolic links"):
        config_file.read(str(config))


def test_the_message_about_a_missing_file_matches_no_engines_own(
    tmp_path: Path,
) -> None:
    with pytest.raises(Refusal, match="it does not exist") as refusal:
        config_file.read(str(tmp_path / "config.json"))
    assert "no such file" not in str(refusal.value).lower()


def test_a_short_write_is_continued(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr("posix.write", lambda to, data: whole(to, data[:2]))
    config_file.replace(config_file.read(str(config)), b"new text")
    assert config.read_bytes() == b"new text"


@pytest.mark.parametrize("fault", disk_faults.FAULTS)
def test_any_failing_call_leaves_the_old_or_new_config_and_no_other_file(
    config: Path, fault: int | str
) -> None:
    for number in itertools.count(1):
        config.write_bytes(b"old text")
        found = config_file.read(str(config))
        with disk_faults.failing(number, fault) as told, contextlib.suppress(Refusal):
            config_file.replace(found, b"new text")
        if not told.failed:
            break
        assert config.read_bytes() in (b"old text", b"new text"), told.failed
        assert _names(config.parent) == ["config.json"], told.failed
    assert number > 4


def test_a_process_killed_at_any_call_leaves_the_old_config_or_the_new_one(config: Path) -> None:
    found = config_file.read(str(config))
    with disk_faults.recorded(config.parent) as moments:
        config_file.replace(found, b"new")
    assert len(moments) > 4
    assert {moment.killed["config.json"] for moment in moments} == {b"old", b"new"}


@pytest.mark.parametrize(
    ("path", "directory"), [("a/b", "a"), ("b", "."), ("/b", "/"), ("/a/b", "/a")]
)
def test_the_directory_of_a_path(path: str, directory: str) -> None:
    assert config_file.directory(path) == directory


Json = dict[str, Any]
TYPE, ID = "io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"
WRITTEN = {TYPE: "sandbox", ID: "S1", "runc-wrap/seccomp": "unconfined"}


@pytest.fixture(autouse=True)
def _as_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Treat this process' user as root, so that the test need not run as root."""
    monkeypatch.setattr(sandbox_annotations, "_ROOT", tmp_path.stat().st_uid)


def _made(at: Path, config: Json | str, name: str = "S1") -> str:
    """Write a sandbox's config; return a container's bundle beside it."""
    (at / name).mkdir(exist_ok=True)
    text = config if isinstance(config, str) else json.dumps(config)
    (at / name / "config.json").write_text(text)
    return str(at / "container")


def test_the_sandboxs_config_is_read_beside_the_containers(tmp_path: Path) -> None:
    place = _made(tmp_path, {"annotations": WRITTEN, "linux": {"seccomp": {}}})
    assert sandbox_annotations.annotations(place, "S1") == WRITTEN
    assert sandbox_annotations.annotations(f"{place}/", "S1") == WRITTEN


ODD = ("", ".", "..", "../container", "a/b", "/etc", "S1/", "S1\n", "S 1", "S1\0", "\u0661")


@pytest.mark.parametrize("name", [*ODD, "x" * 129])
def test_a_name_that_is_not_an_id_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> Found:
        raise AssertionError("nothing may be opened")

    place = _made(tmp_path, {"annotations": {**WRITTEN, ID: name}})
    monkeypatch.setattr(config_file, "read", never)
    with pytest.raises(Refusal, match="is not the name of a directory"):
        sandbox_annotations.annotations(place, name)


NOT_ITS: dict[str, tuple[Json | str, str]] = {
    "no sandbox": ({"annotations": {**WRITTEN, TYPE: "container"}}, "does not belong"),
    "another's": ({"annotations": {**WRITTEN, ID: "S2"}}, "does not belong"),
    "no annotations": ({}, "does not belong"),
    "a number": ({"annotations": {**WRITTEN, "x": 1}}, "no.* string"),
    "another case": ({"Annotations": WRITTEN}, "instead of"),
    "a name twice": ('{"annotations":{},"annotations":{}}', "twice"),
    "half a file": ("{", "not valid JSON"),
    "a list": ("[]", "not a JSON object"),
    "too large": (" " * sandbox_annotations.LARGEST + "{}", "larger than 1048576"),
}


@pytest.mark.parametrize("case", NOT_ITS)
def test_a_config_that_is_not_the_sandboxs_is_refused(tmp_path: Path, case: str) -> None:
    config, match = NOT_ITS[case]
    with pytest.raises(Refusal, match=match):
        sandbox_annotations.annotations(_made(tmp_path, config), "S1")


def test_a_missing_sandbox_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="does not exist"):
        sandbox_annotations.annotations(str(tmp_path / "container"), "S1")


def test_a_link_is_refused(tmp_path: Path) -> None:
    place = _made(tmp_path, {"annotations": WRITTEN})
    config = tmp_path / "S1" / "config.json"
    config.rename(tmp_path / "elsewhere")
    config.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refusal, match="is a link"):
        sandbox_annotations.annotations(place, "S1")


def test_a_sandbox_config_that_is_not_roots_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = _made(tmp_path, {"annotations": WRITTEN})
    monkeypatch.setattr(sandbox_annotations, "_ROOT", tmp_path.stat().st_uid + 1)
    with pytest.raises(Refusal, match="not owned by root"):
        sandbox_annotations.annotations(place, "S1")
