"""The cluster's policy on a node: checked as a whole, put in force at once, or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.node.requirements import requires
from runc_wrap.apply import apply_policy
from runc_wrap.cli.main import main
from runc_wrap.cluster.cluster_policy import policy_files, policy_trial
from runc_wrap.cluster.cluster_policy.policy_files import PolicyNotTaken
from runc_wrap.host import files as host_files
from runc_wrap.node.paths import Places
from runc_wrap.policy.settings import source

AUDIT, ENFORCE = b'[default]\nmode = "audit"\n', b'[default]\nmode = "enforce"\n'
OWN = json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}).encode()
WITH_OWN = b'[default]\nprofile = "localhost/own.json"\n'


@pytest.fixture
def places(tmp_path: Path) -> Places:
    requires("runc", root=True)
    for name in ("etc/conf.d", "etc/profiles", "lib/runtime", "var", "bin"):
        (tmp_path / "prefix" / name).mkdir(parents=True)
    return Places(tmp_path / "prefix")


def _put(places: Places, files: dict[str, bytes]) -> None:
    policy_files.write_candidate(places, files)
    policy_files.put_in_force(places)


def _in_force(places: Places) -> str:
    """Return the mode of the compiled policy, which a create reads."""
    (compiled,) = (path for path in places.current.iterdir() if path.name.startswith("policy"))
    found: str = json.loads(compiled.read_text())["default"]["mode"]
    return found


def _etc(places: Places) -> dict[str, bytes]:
    files = (path for path in places.etc.rglob("*") if path.is_file())
    return {str(path.relative_to(places.etc)): path.read_bytes() for path in files}


def test_a_policy_is_put_in_force_and_recorded(places: Places) -> None:
    files = {"config.toml": AUDIT, "profiles/own.json": OWN}
    _put(places, files)
    assert _in_force(places) == "audit"
    assert _etc(places) == files
    assert policy_files.record(places).digest == policy_files.digest(files)
    assert policy_files.is_all_ours(places)
    _put(places, {"config.toml": ENFORCE})
    assert _in_force(places) == "enforce"
    assert _etc(places) == {"config.toml": ENFORCE}


def test_a_policy_is_laid_down_for_the_first_release_which_install_sh_compiles(
    tmp_path: Path,
) -> None:
    requires("runc", root=True)
    places = Places(tmp_path / "prefix")
    files = {"config.toml": AUDIT, "profiles/own.json": OWN}
    policy_files.write_candidate(places, files)
    words = ["--prefix", str(places.prefix), "cluster", "apply", "--only-files"]
    done = CliRunner().invoke(main, words)
    assert json.loads(done.stdout) == {"remarks": []}
    assert _etc(places) == files
    assert not places.current.exists()
    assert policy_files.record(places).digest == ""  # so that the installer puts it in force
    assert policy_files.edit(places, {"config.toml": ENFORCE}) == ""  # it is ours
    policy_files.write_candidate(places, {"config.toml": b"[defualt]"})
    with pytest.raises(PolicyNotTaken, match="defualt"):
        policy_files.lay_down(places)
    assert _etc(places) == files


BAD = {
    "a typo": (b'[defualt]\nmode = "audit"\n', "defualt"),
    "no TOML": (b"[default\n", "config.toml"),
    "no text": (b"\xff\xfe\x00", "config.toml"),
    "a profile that is missing": (WITH_OWN, "own.json"),
    "a mode that is none": (b'[default]\nmode = "enfroce"\n', "enfroce"),
}


@pytest.mark.parametrize(("text", "named"), BAD.values(), ids=BAD)
def test_what_does_not_check_leaves_everything_as_it_was(
    places: Places, text: bytes, named: str
) -> None:
    _put(places, {"config.toml": AUDIT})
    before = policy_files.record(places)
    with pytest.raises(PolicyNotTaken, match=named) as raised:
        _put(places, {"config.toml": text})
    assert "var/cluster" not in str(raised.value)
    assert _in_force(places) == "audit"
    assert _etc(places) == {"config.toml": AUDIT}
    assert policy_files.record(places) == before
    assert not (places.cluster / "etc").exists()


def test_a_profile_and_the_rule_that_names_it_come_together(places: Places) -> None:
    _put(places, {"config.toml": WITH_OWN, "profiles/own.json": OWN})
    assert _in_force(places) == "enforce"
    with pytest.raises(PolicyNotTaken, match=r"own\.json"):
        _put(places, {"config.toml": WITH_OWN})
    assert set(_etc(places)) == {"config.toml", "profiles/own.json"}


def test_the_nodes_own_settings_count_and_stay(places: Places) -> None:
    (places.config_directory / "90-node.toml").write_bytes(ENFORCE)
    _put(places, {"config.toml": AUDIT})
    assert _in_force(places) == "enforce"
    assert not policy_files.is_all_ours(places)
    (places.config_directory / "91-node.toml").write_bytes(b"[defualt]")
    with pytest.raises(PolicyNotTaken, match="defualt"):
        _put(places, {"config.toml": b""})


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("config.toml", "move it to conf.d"),
        ("profiles/own.json", "give it another name"),
        ("conf.d/0-mode.toml", "give it another name"),  # where it is already
    ],
)
def test_a_file_that_somebody_else_wrote_is_not_replaced(
    places: Places, name: str, advice: str
) -> None:
    (places.etc / name).write_bytes(b"# mine\n")
    with pytest.raises(PolicyNotTaken, match=f"not what the cluster wrote; {advice}, or remove"):
        _put(places, {"config.toml": b"", "profiles/own.json": OWN, policy_files.MODE: AUDIT})
    assert (places.etc / name).read_bytes() == b"# mine\n"


def test_a_file_that_was_edited_afterwards_is_not_replaced(places: Places) -> None:
    _put(places, {"config.toml": AUDIT})
    places.config.write_bytes(AUDIT + b"# mine\n")
    with pytest.raises(PolicyNotTaken, match="not what the cluster wrote"):
        _put(places, {"config.toml": ENFORCE})
    places.config.unlink()  # as the message says
    _put(places, {"config.toml": ENFORCE})


def test_killed_while_it_writes_the_next_one_goes_on(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was half written is ours, also if the cluster wants another policy by now."""
    _put(places, {"config.toml": AUDIT})

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(apply_policy, "put_in_force", lambda _: os._exit(9))
        _put(places, {"config.toml": ENFORCE, "profiles/own.json": OWN})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert _in_force(places) == "audit"
    assert _etc(places)["config.toml"] == ENFORCE
    _put(places, {"config.toml": b""})
    assert _etc(places) == {"config.toml": b""}


NEW = b'[default]\nint_arguments = "engine"\n'
CHANGES = {
    "a first policy": ({}, {"config.toml": b"", policy_files.MODE: AUDIT}),
    "to a mode of its own": (
        {"config.toml": AUDIT}, {"config.toml": NEW, policy_files.MODE: AUDIT},
    ),
    "from a mode of its own": (
        {"config.toml": b"", policy_files.MODE: AUDIT}, {"config.toml": AUDIT},
    ),
    "to enforce": (
        {"config.toml": b"", policy_files.MODE: AUDIT},
        {"config.toml": NEW, policy_files.MODE: ENFORCE},
    ),
    "from enforce": (
        {"config.toml": b"", policy_files.MODE: ENFORCE},
        {"config.toml": NEW, policy_files.MODE: AUDIT},
    ),
    "from enforce to none": (
        {"config.toml": b"", policy_files.MODE: ENFORCE}, {"config.toml": AUDIT},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_a_kill_between_two_files_leaves_nothing_that_enforces_but_the_old_or_the_new_policy(
    places: Places,
    monkeypatch: pytest.MonkeyPatch,
    before: dict[str, bytes],
    after: dict[str, bytes],
) -> None:
    """`apply` may follow, by a node's administrator or an upgrade."""

    def state() -> tuple[bytes | None, str]:
        values = source.read(places.config, places.config_directory)
        return _etc(places).get("config.toml"), values["default.mode"]

    states: list[tuple[bytes | None, str]] = []
    replace, unlink = host_files.replace, Path.unlink

    def replaces(path: Path, *words: Any, **more: Any) -> None:
        replace(path, *words, **more)
        states.append(state())

    def unlinks(path: Path, **more: Any) -> None:
        unlink(path, **more)
        states.append(state())

    if before:
        _put(places, before)
    old = state()
    policy_files.write_candidate(places, after)
    monkeypatch.setattr(host_files, "replace", replaces)
    monkeypatch.setattr(Path, "unlink", unlinks)
    policy_files.put_in_force(places)
    assert {each for each in states if each[1] == "enforce"} <= {old, state()}
    assert len(states) > 1


def test_what_is_refused_at_the_last_moment_is_put_back(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(places, {"config.toml": AUDIT, "profiles/own.json": OWN})

    def refuses(_: Places) -> None:
        raise OSError("no space")

    monkeypatch.setattr(apply_policy, "put_in_force", refuses)
    with pytest.raises(OSError, match="no space"):
        _put(places, {"config.toml": ENFORCE, "profiles/other.json": OWN})
    assert _etc(places) == {"config.toml": AUDIT, "profiles/own.json": OWN}


def test_a_config_map_is_read_as_the_kubelet_mounts_it(tmp_path: Path) -> None:
    """Each key is a link through ..data to a directory of that time."""
    for name, keys in (("config", {"config.toml": AUDIT, "other": b"x"}),
                       ("profiles", {"own.json": OWN, "README": b"x"})):  # fmt: skip
        data = tmp_path / name / "..2026_11_26"
        data.mkdir(parents=True)
        (tmp_path / name / "..data").symlink_to(data.name)
        for key, content in keys.items():
            (data / key).write_bytes(content)
            (tmp_path / name / key).symlink_to(f"..data/{key}")
    found = policy_files.mounted(tmp_path / "config", tmp_path / "profiles")
    assert found == {"config.toml": AUDIT, "profiles/own.json": OWN}


def test_a_config_map_without_a_policy_is_refused_and_none_with_profiles_is_not(
    tmp_path: Path,
) -> None:
    with pytest.raises(PolicyNotTaken, match=r"has no config\.toml"):
        policy_files.mounted(tmp_path, tmp_path / "b")
    (tmp_path / "config.toml").touch()
    assert policy_files.mounted(tmp_path, tmp_path / "b") == {"config.toml": b""}


def test_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(PolicyNotTaken, match="larger than"):
        policy_files.mounted(tmp_path, tmp_path / "none")
    (tmp_path / "config.toml").write_bytes(b"#" * (1 << 19))
    (tmp_path / "own.json").write_bytes(b" " * ((1 << 19) + 1))
    with pytest.raises(PolicyNotTaken, match="more than"):
        policy_files.mounted(tmp_path, tmp_path)
    for number in range(300):
        (tmp_path / f"{number}.json").touch()
    with pytest.raises(PolicyNotTaken, match="at most 256"):
        policy_files.mounted(tmp_path, tmp_path)


def _mounts(at: Path, config: bytes, mode: bytes | None) -> policy_files.Files:
    """Return what the pod finds where the ConfigMaps are mounted."""
    for name in ("config", "conf.d"):
        (at / name).mkdir(parents=True, exist_ok=True)
    (at / "config" / "config.toml").write_bytes(config)
    if mode is not None:
        (at / policy_files.MODE).write_bytes(mode)
    return policy_files.mounted(at / "config", at / "profiles")


def test_the_overlays_mode_holds_whatever_rules_the_owner_has_and_can_be_changed_back(
    places: Places, tmp_path: Path
) -> None:
    own = b'[[rule]]\nname = "own"\nnamespace = ["team"]\nmode = "off"\n'
    for mode, word in ((AUDIT, "audit"), (ENFORCE, "enforce"), (AUDIT, "audit")):
        _put(places, _mounts(tmp_path / "policy", own, mode))
        assert _in_force(places) == word
        assert _etc(places) == {"config.toml": own, "conf.d/0-mode.toml": mode}
        assert policy_files.is_all_ours(places)
    _put(places, {"config.toml": AUDIT})  # as an overlay brought it that had no mode of its own
    assert _in_force(places) == "audit"
    assert _etc(places) == {"config.toml": AUDIT}


def test_the_nodes_own_settings_are_read_after_the_overlays_mode(places: Places) -> None:
    (places.config_directory / "00-node.toml").write_bytes(ENFORCE)
    _put(places, {"config.toml": b"", policy_files.MODE: AUDIT})
    assert _in_force(places) == "enforce"


def test_a_check_changes_nothing_where_the_nodes_directories_are_links(
    places: Places, tmp_path: Path
) -> None:
    _put(places, {"config.toml": WITH_OWN, "profiles/own.json": OWN, policy_files.MODE: AUDIT})
    for name in ("conf.d", "profiles"):
        (places.etc / name).rename(tmp_path / name)
        (places.etc / name).symlink_to(tmp_path / name)
    (tmp_path / "conf.d" / "90-node.toml").write_bytes(b'[default]\nabis = "native"\n')
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    other = {"config.toml": b"", "profiles/other.json": OWN, policy_files.MODE: ENFORCE}
    compiled, _ = policy_files.check(places, other, tmp_path / "trial")
    assert compiled.policy["default"]["mode"] == "enforce"
    assert {path: path.read_bytes() for path in before if path.exists()} == before
    assert not (tmp_path / "profiles" / "other.json").exists()
    (tmp_path / "conf.d" / "90-node.toml").write_bytes(b"[defualt]\n")  # it counts
    with pytest.raises(PolicyNotTaken, match="defualt"):
        policy_files.check(places, other, tmp_path / "trial")


def test_a_mode_in_the_policy_and_in_the_overlay_is_refused(places: Places) -> None:
    _put(places, {"config.toml": b"", policy_files.MODE: AUDIT})
    with pytest.raises(PolicyNotTaken, match=r"config\.toml sets default\.mode, and so does"):
        _put(places, {"config.toml": ENFORCE, policy_files.MODE: AUDIT})
    assert _in_force(places) == "audit"
    with pytest.raises(PolicyNotTaken, match=r"config\.toml"):  # which is not TOML
        _put(places, {"config.toml": b"[", policy_files.MODE: AUDIT})


def test_a_mode_under_a_misspelled_key_is_not_taken_for_none(tmp_path: Path) -> None:
    """Without a mode the default would enforce."""
    assert policy_files.MODE in _mounts(tmp_path, b"", b"")
    (tmp_path / policy_files.MODE).rename(tmp_path / "conf.d" / "mode.toml")
    with pytest.raises(PolicyNotTaken, match=r"has no 0-mode\.toml"):
        _mounts(tmp_path, b"", None)


def test_of_a_policy_that_is_sent_without_a_mode_the_nodes_is_tried(places: Places) -> None:
    """A config.toml alone changes no overlay."""
    assert policy_files.mode_in_force(places) == {}
    _put(places, {"config.toml": b"", policy_files.MODE: AUDIT})
    candidate = policy_files.write_candidate(places, {"config.toml": ENFORCE}, "check-1")
    tried = policy_trial.document(places, candidate, "n1")
    assert "and so does the overlay" in tried["refused"]
    sent = {"config.toml": ENFORCE, policy_files.MODE: b""}
    candidate = policy_files.write_candidate(places, sent, "check-2")
    assert policy_trial.document(places, candidate, "n1")["refused"] is None


def test_adopting_the_engines_default_goes_with_enforce_and_not_with_audit(
    places: Places,
) -> None:
    """docs/kubernetes.md, step 5."""
    own = b'[default]\nadopt = "runtime-default"\n'
    with pytest.raises(PolicyNotTaken, match=r'default\.adopt adopts "runtime-default", but'):
        _put(places, {"config.toml": own, policy_files.MODE: AUDIT})
    _put(places, {"config.toml": own, policy_files.MODE: ENFORCE})
    weaker = own.replace(b'default"', b'default, also weaker"')
    _put(places, {"config.toml": weaker, policy_files.MODE: AUDIT})
    assert _in_force(places) == "audit"
