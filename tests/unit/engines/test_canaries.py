"""How each engine starts a canary and removes it, and what a transaction asks before."""

import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.crio.crio_engine import Crio
from runc_wrap.engines.docker.docker_engine import Docker
from runc_wrap.engines.handler import CallFailed, EngineError
from runc_wrap.engines.podman.podman_engine import Podman
from tests.unit.node import machine

CONFIG = Path("/etc/docker/daemon.json")


def test_one_that_is_not_installed_refuses() -> None:
    found = Docker(CONFIG, None, "docker.service", Path("/s"), "", "20.10.24")
    assert "docker is not installed" in found.refusal()


REMOVALS = [  # what `ps` and `rm` do, why it is not removed
    ("/bin/cat {left}", "echo >{left}", ""),
    ("/bin/cat {left}", "echo resource busy >&2; exit 1", "our canary: resource busy"),
    ("echo no daemon >&2; exit 1", "", "does not tell its containers: no daemon"),
]


@pytest.mark.parametrize(("listed", "removes", "why"), REMOVALS)
def test_a_canary_counts_as_removed_only_if_it_has_gone(
    programs: Path, listed: str, removes: str, why: str
) -> None:
    """Otherwise what a power cut left would be forgotten."""
    left = programs.with_name("left")
    left.write_text("0123\n")
    script = f"case $1 in ps) {listed};; rm) {removes};; esac".format(left=left)
    binary = machine.fake(programs, "docker", script)
    found = Docker(CONFIG, binary, "docker.service", Path("/s"), "", "26.1.5")
    with pytest.raises(CallFailed, match=why) if why else nullcontext():
        found.remove_probes()
    assert (left.read_text() == "\n") is (not why)


def test_podmans_canary_lies_in_the_installation_wherever_the_caller_has_temporary_files(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of TMPDIR could replace the root file system, which root then runs."""
    theirs, var, asked = (tmp_path / name for name in ("theirs", "var", "asked"))
    theirs.mkdir()
    var.mkdir()
    monkeypatch.setenv("TMPDIR", str(theirs))
    monkeypatch.setattr(tempfile, "tempdir", None)
    script = f'case "$*" in *run*) echo "$*" >{asked}; echo id;; *) :;; esac'
    binary = machine.fake(programs, "podman", script)
    found = Podman(CONFIG, binary, "", Path("/s"), "", "5.4.2")
    with found.canary("", var):
        words = asked.read_text().split()
        root = Path(words[words.index("--rootfs") + 1])
        assert root.parent.parent == var
        assert root.parent.stat().st_mode & 0o777 == 0o700
    assert [*theirs.iterdir(), *var.iterdir()] == []


def test_a_client_that_prints_no_id_has_started_nothing(programs: Path, tmp_path: Path) -> None:
    binary = machine.fake(programs, "podman", "exit 0")
    found = Podman(CONFIG, binary, "", Path("/s"), "", "5.4.2")
    with pytest.raises(EngineError, match="it ended with status 0"), found.canary("", tmp_path):
        pass


IMAGES = [
    ('[crio.image]\npause_image = "a/pause:1"\n', "a/pause:1"),
    ('[crio.image]\n# pause_image = "a/pause:2"\n', "a/pause:2"),
    ('[crio.image]\n# pause_image = "a/pause:2"\npause_image = "own:3"\n', "own:3"),
    ('[crio.image]\n# pause_image_auth_file = "/x"\n', ""),
    ("no TOML", ""),
]


@pytest.mark.parametrize(("printed", "name"), IMAGES)
def test_a_default_crio_comments_out_is_its_image(programs: Path, printed: str, name: str) -> None:
    machine.fake(programs, "crio", f"printf %s '{printed}'")
    assert Crio.at(Path("/etc/crio/crio.conf")).sandbox_image() == name


def test_without_image_no_sandbox_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The engine would pull it."""
    asked: list[object] = []
    monkeypatch.setattr(cri_runtime, "start_pod", lambda *words: asked.append(words))
    monkeypatch.setattr(cri_runtime, "has_image", lambda *_: False)
    for image, told in (("", "does not print which image"), ("p:1", "has no image p:1 .*crictl")):
        monkeypatch.setattr(Crio, "sandbox_image", lambda _, image=image: image)
        canary = Crio(Path("/etc/crio/crio.conf")).canary("ours", tmp_path)
        with pytest.raises(EngineError, match=told), canary:
            pass
    assert asked == []
