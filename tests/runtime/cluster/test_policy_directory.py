"""The cluster's policy on a node: checked as a whole, put in force at once, or not at all."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.node.requirements import requires
from runc_wrap.apply import apply_policy
from runc_wrap.cluster import configmap_policy, policy_directory
from runc_wrap.cluster.configmap_policy import PolicyNotTaken
from runc_wrap.cluster.host_commands import kubectl_requests
from runc_wrap.host import files as host_files
from runc_wrap.node.paths import Places
from runc_wrap.policy import policy_store
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.settings import policy_sources, settings_reader

AUDIT, ENFORCE = b'[default]\nmode = "audit"\n', b'[default]\nmode = "enforce"\n'
OWN = json.dumps({"defaultAction": "SCMP_ACT_ALLOW"}).encode()
WITH_OWN = b'[default]\nprofile = "localhost/own.json"\n'
MODE = configmap_policy.MODE


@pytest.fixture
def places(tmp_path: Path) -> Places:
    requires("runc", root=True)
    for name in ("etc/conf.d", "etc/profiles", "lib/runtime", "var", "bin"):
        (tmp_path / "prefix" / name).mkdir(parents=True)
    return Places(tmp_path / "prefix")


def _put(places: Places, files: dict[str, bytes]) -> list[str]:
    return policy_directory.put_in_force(places, policy_directory.write(places, files))


def _in_force(places: Places) -> str:
    """Return the mode of the compiled policy, which a create reads."""
    (compiled,) = (path for path in places.current.iterdir() if path.name.startswith("policy"))
    found: str = json.loads(compiled.read_text())["default"]["mode"]
    return found


def _sent(places: Places) -> dict[str, bytes]:
    """Return the files of the cluster's policy that `apply` reads."""
    found = (path for path in places.cluster_policy.resolve().rglob("*") if path.is_file())
    return {str(path.relative_to(places.cluster_policy.resolve())): path.read_bytes()
            for path in found}  # fmt: skip


def test_a_policy_is_put_in_force_and_seen_by_whoever_applies_later(places: Places) -> None:
    files = {"config.toml": AUDIT, "profiles/own.json": OWN}
    _put(places, files)
    assert (_in_force(places), _sent(places)) == ("audit", files)
    assert policy_directory.in_force(places) == policy_directory.name_of(files)
    assert policy_sources.changes(places.sources(), places.current) == []
    apply_policy.put_in_force(places)  # by hand, or by an upgrade
    assert _in_force(places) == "audit"
    _put(places, {"config.toml": ENFORCE})
    assert (_in_force(places), _sent(places)) == ("enforce", {"config.toml": ENFORCE})
    assert len([*places.cluster_policy.parent.iterdir()]) == 2  # it and the link
    assert not [path for path in places.etc.rglob("*") if path.is_file()]


BAD = {
    "a typo": (b'[defualt]\nmode = "audit"\n', "defualt"),
    "no TOML": (b"[default\n", "config.toml"),
    "no text": (b"\xff\xfe\x00", "config.toml"),
    "a profile that is missing": (WITH_OWN, "own.json"),
    "a mode that is none": (b'[default]\nmode = "enfroce"\n', "enfroce"),
    "a runtime that is missing": (b'runtime = ["crun-of-nobody"]\n', "crun-of-nobody"),
}


@pytest.mark.parametrize(("text", "named"), BAD.values(), ids=BAD)
def test_what_does_not_check_leaves_everything_as_it_was(
    places: Places, text: bytes, named: str
) -> None:
    _put(places, {"config.toml": AUDIT})
    before = policy_directory.in_force(places)
    with pytest.raises(PolicyNotTaken, match=named) as raised:
        _put(places, {"config.toml": text})
    assert "var/cluster" not in str(raised.value)
    assert (_in_force(places), _sent(places)) == ("audit", {"config.toml": AUDIT})
    assert policy_directory.in_force(places) == before
    assert policy_sources.changes(places.sources(), places.current) == []


NEW = b'[default]\nint_arguments = "engine"\n'
CHANGES = {
    "a first policy": ({}, {"config.toml": b"", MODE: AUDIT}),
    "to a mode of its own": ({"config.toml": AUDIT}, {"config.toml": NEW, MODE: AUDIT}),
    "to enforce": ({"config.toml": b"", MODE: AUDIT}, {"config.toml": NEW, MODE: ENFORCE}),
    "from enforce": ({"config.toml": b"", MODE: ENFORCE}, {"config.toml": AUDIT}),
}
MOMENTS = {
    "before the compiled one": (policy_store, "put_in_force"),
    "before the link": (host_files, "replace_link"),
    "before others are dropped": (shutil, "rmtree"),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_a_kill_leaves_the_old_or_the_new_policy_whole_and_the_next_pass_ends_it(
    places: Places,
    monkeypatch: pytest.MonkeyPatch,
    before: dict[str, bytes],
    after: dict[str, bytes],
    moment: str,
) -> None:
    """`apply` may follow, by a node's administrator or an upgrade."""
    if before:
        _put(places, before)
    name = policy_directory.write(places, after)
    child = os.fork()
    if child == 0:
        real, (module, function) = host_files.replace_link, MOMENTS[moment]

        def dies(path: Path, *words: Any, **more: Any) -> None:
            if function != "replace_link" or path == places.cluster_policy:
                os._exit(9)
            real(path, *words, **more)

        monkeypatch.setattr(module, function, dies)
        policy_directory.put_in_force(places, name)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, 9)
    assert _sent(places) in (before, after)
    if before or moment != "before the compiled one":
        assert places.current.exists()
    policy_directory.put_in_force(places, name)
    assert _sent(places) == after
    assert policy_sources.changes(places.sources(), places.current) == []


def test_a_link_that_leads_nowhere_is_refused_and_never_the_default(places: Places) -> None:
    """As after somebody's tidying: without the cluster's policy the default would enforce."""
    _put(places, {"config.toml": AUDIT})
    places.cluster_policy.resolve().rename(places.var / "elsewhere")
    with pytest.raises(PolicyError, match="leads nowhere"):
        apply_policy.put_in_force(places)
    assert _in_force(places) == "audit"


def test_the_nodes_own_settings_count_and_stay_and_its_config_toml_does_not(places: Places) -> None:
    places.config.write_bytes(b'[default]\nmode = "off"\n')
    (places.config_directory / "00-node.toml").write_bytes(ENFORCE)  # after the overlay's mode
    (places.etc / "profiles" / "own.json").write_bytes(b"{}")
    remarks = _put(places, {"config.toml": b"", MODE: AUDIT, "profiles/own.json": OWN})
    assert _in_force(places) == "enforce"
    (places.config_directory / "00-node.toml").unlink()
    _put(places, {"config.toml": WITH_OWN, MODE: AUDIT, "profiles/own.json": OWN})
    assert _in_force(places) == "audit"  # and not off
    assert settings_reader.read(*places.sources())["default.profile"] == "localhost/own.json"
    unread = [one for one in remarks if "is not read" in one]
    assert [str(places.etc / name) in one
            for name, one in zip(("config.toml", "profiles/own.json"), unread, strict=True)
            ] == [True, True]  # fmt: skip
    assert str(places.config) in unread[0]  # where the node's own settings belong
    assert places.config.parent == places.config_directory
    (places.config_directory / "91-node.toml").write_bytes(b"[defualt]")
    with pytest.raises(PolicyNotTaken, match="defualt"):
        _put(places, {"config.toml": b""})


def test_of_a_policy_that_is_sent_without_a_mode_the_nodes_is_tried(places: Places) -> None:
    """A config.toml alone changes no overlay."""
    _put(places, {"config.toml": b"", MODE: AUDIT})
    for sent, word in (({}, "and so does the overlay"), ({MODE: b""}, "")):
        candidate = places.cluster / "check-1"
        policy_directory.write_files(candidate, {"config.toml": ENFORCE, **sent})
        refused = kubectl_requests.trial(places, candidate, "n1")["refused"]
        assert (refused is None) == (not word)
        assert word in (refused or "")
