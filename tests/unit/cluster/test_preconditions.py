"""What keeps runc-wrap off a node, or on it, is said before anything is changed there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from runc_wrap.cli.root_command import main
from runc_wrap.cluster import policy_directory, preconditions
from runc_wrap.engines import handler_users
from runc_wrap.engines.containerd.containerd_engine import Containerd
from runc_wrap.engines.dependent_container import Dependent, Unknown
from runc_wrap.host import program
from runc_wrap.node import seccomp_features
from runc_wrap.node.paths import Places

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
    return [*preconditions.obstacles(Places(place / "prefix"), "containerd", place / "config.toml")]


def _containerd(version: str, dump: str) -> Callable[[Path], None]:
    text = CONTAINERD.format(version=version, dump=dump)
    return lambda place: _program(place, "containerd", text)


def _config(content: bytes) -> Callable[[Path], object]:
    return lambda place: (place / "config.toml").write_bytes(content)


PROBLEMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no runtime": (lambda place: (place / "bin" / "runc").unlink(), "none of the runtimes"),
    "no engine": (lambda place: (place / "bin" / "containerd").unlink(),
                  "none is found here: --engine-config=FILE"),
    "a version of no number": (_containerd("unknown", ACCEPTS), "no containerd answers to"),
    "no version": (_containerd("", ACCEPTS), "no containerd answers to"),
    "what the engine refuses": (_containerd("1.7.24", REFUSES),
        "containerd refuses its configuration {place}/config.toml: containerd: line 3 is no TOML"),
    "CRI is off": (_config(b'disabled_plugins = ["cri"]\n'), "config.toml disables the CRI plugin"),
    "no value": (_config(b"version = \n"), "{place}/config.toml is no valid TOML: Invalid value"),
    "a number too long": (_config(b"n = " + b"9" * 5000), "is no valid TOML"),
    "no UTF-8": (_config(b"# \xff\n"), "'utf-8' codec can't decode"),
    "plugins are no list": (_config(b"disabled_plugins = 3\n"),
        "disabled_plugins is no list"),
    "one of them is CRI": (_config(b'disabled_plugins = [["cri"], 3, {}, "cri"]\n'),
        "disables the CRI plugin (cri)"),
}  # fmt: skip


@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_keeps_it_off_a_node_is_said_in_one_sentence(place: Path, problem: str) -> None:
    spoil, said = PROBLEMS[problem]
    spoil(place)
    (found,) = _problems(place)
    assert said.format(place=place) in found


def test_a_kernel_without_filters_is_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp_features, "of_kernel", lambda _: frozenset({"kill"}))
    (found,) = _problems(place)
    assert "CONFIG_SECCOMP_FILTER" in found


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


def test_an_engine_found_twice_must_be_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = [Containerd(place / name) for name in ("a", "b")]
    monkeypatch.setattr(Containerd, "detect", lambda: two)
    (found,) = preconditions.obstacles(Places(place), "containerd", None)
    assert f"containerd ({place}/a) and containerd ({place}/b): --engine-config=FILE" in found


def test_the_runtime_of_the_policy_that_comes_with_the_release_counts(place: Path) -> None:
    """Then the policy is laid down: what it lacks beside that is no reason to install nothing."""
    prefix = Places(place / "prefix")

    def asked(*more: str) -> dict[str, str]:
        words = ["--prefix", str(prefix.prefix), "cluster", "preflight", "containerd"]
        result = CliRunner().invoke(main, [*words, "--config", str(place / "config.toml"), *more])
        found: dict[str, str] = json.loads(result.stdout)
        assert result.exit_code == bool(found["reason"])
        return found

    def said(text: str) -> dict[str, str]:
        name = policy_directory.write(prefix, {"config.toml": text.encode()})
        found = asked("--policy", name)
        if not any(found.values()):
            assert policy_directory.in_force(prefix) == name
        return found

    assert not asked()["reason"]
    (place / "bin" / "runc").rename(place / "bin" / "crun-of-our-own")
    assert asked()["reason"]

    own = 'runtime = ["crun-of-our-own"]\n'
    assert "The policy cannot be read: " in said(f"{own}[typo")["reason"]
    assert said(own) == {"reason": "", "policy": ""}
    (place / "bin" / "crun-of-our-own").rename(place / "bin" / "runc")
    assert "crun-of-our-own" in said(own)["reason"]
    before = policy_directory.in_force(prefix)
    found = said('[default]\nmode = "enforec"\n')
    assert (found["reason"], "enforec" in found["policy"]) == ("", True)
    assert policy_directory.in_force(prefix) == before


SANDBOX, WEB, CANARY = ("a" * 64, "b" * 64, "c" * 64)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path)
    lines = [
        {"id": id_, "root": "/r", "time": "2026-11-28T00:00:00.0Z", "namespace": namespace,
         "pod": pod, "action": "inject"}
        for id_, namespace, pod in ((SANDBOX, "team", "web-1"), (WEB, "team", "web-1"),
                                    (CANARY, "runc-wrap", "canary-0a1b2c3d"))
    ]  # fmt: skip
    found.ledger.mkdir(parents=True)
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (found.ledger / "ledger.jsonl").write_text(text)
    found.wrapper.parent.mkdir(exist_ok=True)
    found.wrapper.touch()
    return found


def _reason(places: Places, monkeypatch: pytest.MonkeyPatch, *found: Dependent) -> str:
    monkeypatch.setattr(handler_users, "calling", lambda *_: [*found])
    return preconditions.still_needed(places)


def test_a_pod_is_named_once_and_a_container_without_one_as_its_engine_shows_it(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _reason(places, monkeypatch) == ""
    canary = Dependent("containerd", f"k8s.io/{CANARY}")  # which was left
    assert _reason(places, monkeypatch, canary) == ""
    found = [
        Dependent("containerd", f"k8s.io/{SANDBOX}"),
        Dependent("containerd", f"k8s.io/{WEB}", "running"),
        Dependent("docker", "by-hand", "running"),
        canary,
    ]
    said = _reason(places, monkeypatch, *found)
    assert said.count("team/web-1") == 1
    assert "by-hand (docker, running)" in said


def test_a_silent_engine_may_have_some(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> list[Dependent]:
        raise Unknown("containerd runs, and `ctr` does not show its pods")

    monkeypatch.setattr(handler_users, "calling", unknown)
    assert "`ctr` does not show" in preconditions.still_needed(places)


def test_a_long_list_is_cut_and_what_is_printed_is_safe() -> None:
    said = preconditions.sentence([f"team/web-{at}\x1b" for at in range(30)])
    assert said.endswith("and 20 more; recreate them without it")
    assert said.isprintable()
