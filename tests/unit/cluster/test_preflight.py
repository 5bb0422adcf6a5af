"""What keeps runc-wrap off a node is said before anything is installed there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from runc_wrap.cli.main import main
from runc_wrap.cluster import preflight
from runc_wrap.cluster.cluster_policy import policy_directory
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.host import program
from runc_wrap.node import features
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from pathlib import Path

CONTAINERD = """#!/bin/sh
case $* in
    *--version*) echo "containerd github.com/containerd/containerd {version} abc" ;;
    *dump*) {dump} ;;
esac
"""
RUNC = "#!/bin/sh\necho runc version 1.1.5\n"
ACCEPTS, REFUSES = "echo version = 2", "echo containerd: line 3 is no TOML >&2; exit 1"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node with runc, a containerd that accepts its configuration, and nothing of ours."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(program, "FIXED_PATH", (str(tmp_path / "bin"),))
    _program(tmp_path, "runc", RUNC)
    _program(tmp_path, "containerd", CONTAINERD.format(version="1.7.24", dump=ACCEPTS))
    (tmp_path / "config.toml").write_text("version = 2\n")
    return tmp_path


def _program(place: Path, name: str, text: str) -> None:
    path = place / "bin" / name
    path.write_text(text)
    path.chmod(0o755)


def _problems(place: Path) -> list[str]:
    return [*preflight.problems(Places(place / "prefix"), "containerd", place / "config.toml")]


def test_a_node_that_has_what_is_needed_has_no_problem_and_nothing_is_written(
    place: Path,
) -> None:
    before = sorted(place.rglob("*"))
    assert _problems(place) == []
    assert sorted(place.rglob("*")) == before


def test_a_kernel_without_filters_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "of_kernel", lambda _: frozenset({"kill"}))
    (found,) = _problems(place)
    assert "CONFIG_SECCOMP_FILTER" in found


def test_a_configuration_that_the_engine_refuses_is_said_in_its_words(place: Path) -> None:
    _program(place, "containerd", CONTAINERD.format(version="1.7.24", dump=REFUSES))
    (found,) = _problems(place)
    assert found.startswith(f"containerd refuses its configuration {place}/config.toml: ")
    assert "line 3 is no TOML" in found


def test_a_cri_plugin_that_is_off_is_said(place: Path) -> None:
    (place / "config.toml").write_text('disabled_plugins = ["cri"]\n')
    (found,) = _problems(place)
    assert "disables the CRI plugin" in found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version = \n", "wanted valid TOML"),
        (b"n = " + b"9" * 5000, "wanted valid TOML"),
        (b"# \xff\n", "wanted UTF-8"),
        (b"disabled_plugins = 3\n", "disabled_plugins is no list; wanted a list of plugins"),
        (b'disabled_plugins = [["cri"], 3, {}, "cri"]\n', "disables the CRI plugin (cri)"),
    ],
)
def test_a_containerd_configuration_that_cannot_be_understood_is_said_in_a_sentence(
    place: Path, content: bytes, said: str
) -> None:
    (place / "config.toml").write_bytes(content)
    (found,) = _problems(place)
    assert found.startswith(f"{place}/config.toml")
    assert said in found
    _program(place, "containerd", CONTAINERD.format(version="1.7.24", dump=REFUSES))
    assert len(_problems(place)) == 2  # what containerd itself says follows


@pytest.mark.parametrize("version", ["unknown", ""])
def test_an_engine_that_tells_no_version_is_said(place: Path, version: str) -> None:
    _program(place, "containerd", CONTAINERD.format(version=version, dump=ACCEPTS))
    (found,) = _problems(place)
    assert "containerd's version is unknown" in found


def test_a_node_without_a_runtime_that_can_be_used_is_said(place: Path) -> None:
    (place / "bin" / "runc").unlink()
    (found,) = _problems(place)
    assert "none of the runtimes" in found


def test_the_runtime_of_the_policy_in_force_counts(place: Path) -> None:
    """Where a release is in force already."""
    (place / "bin" / "runc").rename(place / "own-runc")
    (place / "prefix" / "etc").mkdir(parents=True)
    config = place / "prefix" / "etc" / "config.toml"
    config.write_text(f'runtime = ["{place}/own-runc"]\n')
    assert _problems(place) == []
    config.write_text("[typo")  # which `apply` says
    (found,) = _problems(place)
    assert "none of the runtimes" in found


def test_an_engine_that_is_not_there_or_there_twice_has_to_be_named(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "bin" / "containerd").unlink()
    (found,) = _problems(place)
    assert "none is found here: --engine-config=FILE" in found
    two = [Containerd(place / name) for name in ("a", "b")]
    monkeypatch.setattr(Containerd, "detect", lambda: two)
    (found,) = preflight.problems(Places(place), "containerd", None)
    assert f"containerd ({place}/a) and containerd ({place}/b): --engine-config=FILE" in found


@pytest.mark.parametrize("is_well", [True, False])
def test_the_command_ends_with_one_document(place: Path, *, is_well: bool) -> None:
    if not is_well:
        (place / "bin" / "runc").unlink()
    words = ["--prefix", str(place / "prefix"), "cluster", "preflight", "containerd"]
    words += ["--config", str(place / "config.toml")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == (0 if is_well else 1)
    assert bool(json.loads(result.stdout)["reason"]) is not is_well


def test_the_runtime_of_the_policy_that_comes_with_the_release_counts(place: Path) -> None:
    """Then the policy is laid down: what it lacks beside that is no reason to install nothing."""
    (place / "bin" / "runc").rename(place / "bin" / "crun-of-our-own")
    prefix = Places(place / "prefix")
    words = ["--prefix", str(prefix.prefix), "cluster", "preflight", "containerd"]
    words += ["--config", str(place / "config.toml")]
    assert CliRunner().invoke(main, words).exit_code == 1

    def said(text: str) -> dict[str, str]:
        name = policy_directory.write(prefix, {"config.toml": text.encode()})
        result = CliRunner().invoke(main, [*words, "--policy", name])
        found: dict[str, str] = json.loads(result.stdout)
        assert result.exit_code == bool(found["reason"])
        if not any(found.values()):
            assert policy_directory.in_force(prefix) == name
        return found

    own = 'runtime = ["crun-of-our-own"]\n'
    assert "The policy cannot be read: " in said(f"{own}[typo")["reason"]
    assert said(own) == {"reason": "", "policy": ""}
    (place / "bin" / "crun-of-our-own").rename(place / "bin" / "runc")
    assert "crun-of-our-own" in said(own)["reason"]
    before = policy_directory.in_force(prefix)
    found = said('[default]\nmode = "enforec"\n')
    assert (found["reason"], "enforec" in found["policy"]) == ("", True)
    assert policy_directory.in_force(prefix) == before
