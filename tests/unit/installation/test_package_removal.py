"""What a package leaves for engines that still have its names."""

import fcntl
import os
from pathlib import Path

import pytest

from runc_wrap.engines.podman import podman_engine
from runc_wrap.installation import package_removal
from runc_wrap.node.paths import Places
from tests.unit.engines import engine_node


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """An installation whose two names are registered with Docker."""
    monkeypatch.setattr(podman_engine, "storage", lambda: tmp_path / "no-podman")
    found = Places(tmp_path)
    where = engine_node.node(tmp_path, "docker")
    engine_node.add(where)
    engine_node.add(where, "second")
    return found


def _choose_runtime(places: Places) -> Path:
    runtime = places.prefix / "runc"
    runtime.touch(mode=0o755)
    places.runtime.mkdir(parents=True)
    (places.runtime / "runc").symlink_to(runtime)
    return runtime


def test_each_name_that_is_registered_leads_to_the_real_runtime(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = _choose_runtime(places)
    assert package_removal.main(places) == 0
    for name in ("runc-wrap", "second"):
        assert places.wrapper.with_name(name).readlink() == runtime
    assert "`runc-wrapctl engine remove docker --handler second`" in capsys.readouterr().err
    assert "second" in (places.prefix / "etc" / "daemon.json").read_text()  # as it was


def test_without_a_runtime_it_refuses(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert package_removal.main(places) == package_removal.REFUSED
    assert "there is no runc or crun to which it could lead" in capsys.readouterr().err
    assert not places.wrapper.is_symlink()


def test_a_service_that_goes_on_is_named_and_nothing_is_refused(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    _choose_runtime(places)
    places.agent.mkdir(parents=True)
    with (places.agent / "observe.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert package_removal.main(places) == 0
    told = capsys.readouterr().err
    assert "1 service of the agent that systemd did not start would go on from removed" in told
    assert f"(pid {os.getpid()})" in told


def test_what_nobody_has_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = Places(tmp_path)
    engine_node.node(tmp_path, "docker")
    _choose_runtime(places)
    assert package_removal.main(places) == 0
    assert not places.wrapper.is_symlink()
    assert capsys.readouterr().err == ""
