"""Whether the policy in force matches its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runc_wrap.policy import policy_store, source_digests
from runc_wrap.profiles.json_profiles import profile_files
from tests.unit.policy.node import compiled, policies

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(profile_files, "SYSTEM_FILES", (str(tmp_path / "seccomp.json"),))
    etc = tmp_path / "etc"
    (etc / "conf.d").mkdir(parents=True)
    (etc / "profiles" / "team").mkdir(parents=True)
    (etc / "config.toml").write_text("")
    (etc / "profiles" / "team" / "a.json").write_text("{}")
    policy_store.put_in_force(compiled(), tmp_path, source_digests.snapshot(etc))
    return etc


def _changes(etc: Path) -> list[str]:
    return source_digests.changes([etc], policies(etc.parent) / "current")


def test_nothing_touched_is_nothing_changed(etc: Path) -> None:
    (etc / "config.toml").touch()
    (etc / "profiles" / ".hidden").write_text("")
    (etc / "profiles" / "team" / ".git").mkdir()
    (etc / "profiles" / "team" / ".git" / "config.json").write_text("{}")
    (etc / "conf.d" / "readme").write_text("")
    assert _changes(etc) == []


def test_every_changed_source_is_named(etc: Path) -> None:
    (etc / "config.toml").write_text("#")
    (etc / "conf.d" / "x.toml").write_text("")
    (etc / "profiles" / "team" / "a.json").unlink()
    (etc.parent / "seccomp.json").write_text("{}")
    assert _changes(etc) == [
        f"{etc.parent}/seccomp.json has changed",
        "conf.d/x.toml has changed",
        "config.toml has changed",
        "profiles/team/a.json has changed",
    ]


def test_an_unreadable_source_is_not_an_error(etc: Path) -> None:
    (etc / "config.toml").unlink()
    (etc / "config.toml").symlink_to("nowhere")
    assert _changes(etc) == ["config.toml has changed"]
    (policies(etc.parent) / "current/sources.json").write_text("{")
    assert _changes(etc) == [source_digests.UNRECORDED]
