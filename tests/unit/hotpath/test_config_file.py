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
from runc_wrap.hotpath.errors import Refusal


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_bytes(b"old")
    return path


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_the_new_file_has_mode_owner_and_group_of_the_old(config: Path) -> None:
    before = os.umask(0o077)
    try:
        for mode, *owner in (
            (0o600, 0, 0),
            (0o644, 1234, 4321),
            (0o640, 0, 4321),
            (0o666, 1234, 0),
        ):
            os.chown(config, *owner)
            config.chmod(mode)
            config_file.replace(config_file.read(str(config)), b"new")
            assert config.read_bytes() == b"new"
            found = config.stat()
            assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, *owner)
    finally:
        os.umask(before)
    assert _names(config.parent) == ["config.json"]


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


def test_a_large_or_missing_file_a_fifo_and_a_link_to_itself_are_refused(config: Path) -> None:
    os.truncate(config, config_file.LARGEST + 1)
    with pytest.raises(Refusal, match="larger than"):
        config_file.read(str(config))
    config.unlink()
    with pytest.raises(Refusal, match="it does not exist") as refusal:
        config_file.read(str(config))
    assert "no such file" not in str(refusal.value).lower()  # which engines look for
    os.mkfifo(config)
    with pytest.raises(Refusal, match="not a regular file"):
        config_file.read(str(config))
    config.unlink()
    config.symlink_to("config.json")
    with pytest.raises(Refusal, match="too many symbolic links"):
        config_file.read(str(config))


@pytest.mark.parametrize("fault", disk_faults.FAULTS)
def test_any_failing_call_leaves_one_config_old_or_new(config: Path, fault: int | str) -> None:
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


def test_the_directory_of_a_path() -> None:
    for path, directory in (("a/b", "a"), ("b", "."), ("/b", "/"), ("/a/b", "/a")):
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


def test_a_name_that_is_no_id_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_file, "read", lambda *_: pytest.fail("nothing may be opened"))
    odd = ("", ".", "..", "../container", "a/b", "/etc", "S1/", "S1\n", "S 1", "S1\0", "\u0661")
    for name in (*odd, "x" * 129):
        place = _made(tmp_path, {"annotations": {**WRITTEN, ID: name}})
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


def test_a_config_that_is_not_the_sandboxs_is_refused(tmp_path: Path) -> None:
    for config, match in NOT_ITS.values():
        with pytest.raises(Refusal, match=match):
            sandbox_annotations.annotations(_made(tmp_path, config), "S1")


def test_no_foreign_sandbox_config_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(tmp_path / "container")
    with pytest.raises(Refusal, match="does not exist"):
        sandbox_annotations.annotations(place, "S1")
    _made(tmp_path, {"annotations": WRITTEN})
    monkeypatch.setattr(sandbox_annotations, "_ROOT", tmp_path.stat().st_uid + 1)
    with pytest.raises(Refusal, match="not owned by root"):
        sandbox_annotations.annotations(place, "S1")
    monkeypatch.setattr(sandbox_annotations, "_ROOT", tmp_path.stat().st_uid)
    config = (tmp_path / "S1" / "config.json").rename(tmp_path / "elsewhere")
    (tmp_path / "S1" / "config.json").symlink_to(config)
    with pytest.raises(Refusal, match="is a link"):
        sandbox_annotations.annotations(place, "S1")
