"""A policy's files from the mounted ConfigMaps, and the directory that they are written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runc_wrap.cluster.cluster_policy import configmap_policy, policy_directory
from runc_wrap.cluster.cluster_policy.configmap_policy import MODE, PolicyNotTaken
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from pathlib import Path

AUDIT, ENFORCE = b'[default]\nmode = "audit"\n', b'[default]\nmode = "enforce"\n'
OWN = b"{}"


def test_what_the_pod_did_not_write_is_not_put_in_force(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.var.mkdir()
    name = policy_directory.write(places, {"config.toml": AUDIT})
    (places.cluster_policy.with_name(name) / "config.toml").write_bytes(b"")
    with pytest.raises(PolicyNotTaken, match="is not what the pod wrote"):
        policy_directory.put_in_force(places, name)
    assert policy_directory.in_force(places) is None


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
    found = configmap_policy.mounted(tmp_path / "config", tmp_path / "profiles")
    assert found == {"config.toml": AUDIT, "profiles/own.json": OWN}


def test_a_config_map_without_a_policy_is_refused_and_none_with_profiles_is_not(
    tmp_path: Path,
) -> None:
    with pytest.raises(PolicyNotTaken, match=r"has no config\.toml"):
        configmap_policy.mounted(tmp_path, tmp_path / "b")
    (tmp_path / "config.toml").touch()
    assert configmap_policy.mounted(tmp_path, tmp_path / "b") == {"config.toml": b""}


def test_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(PolicyNotTaken, match="larger than"):
        configmap_policy.mounted(tmp_path, tmp_path / "none")
    (tmp_path / "config.toml").write_bytes(b"#" * (1 << 19))
    (tmp_path / "own.json").write_bytes(b" " * ((1 << 19) + 1))
    with pytest.raises(PolicyNotTaken, match="more than"):
        configmap_policy.mounted(tmp_path, tmp_path)
    for number in range(300):
        (tmp_path / f"{number}.json").touch()
    with pytest.raises(PolicyNotTaken, match="at most 256"):
        configmap_policy.mounted(tmp_path, tmp_path)


def test_a_mode_under_a_misspelled_key_is_not_taken_for_none(tmp_path: Path) -> None:
    """Without a mode the default would enforce."""
    (tmp_path / "config.toml").touch()
    mode = tmp_path / MODE
    mode.parent.mkdir()
    mode.touch()
    assert MODE in configmap_policy.mounted(tmp_path, tmp_path / "profiles")
    mode.rename(mode.with_name("mode.toml"))
    with pytest.raises(PolicyNotTaken, match=r"has no 0-mode\.toml"):
        configmap_policy.mounted(tmp_path, tmp_path / "profiles")


def test_a_mode_in_the_policy_and_in_the_overlay_is_refused() -> None:
    with pytest.raises(PolicyNotTaken, match=r"config\.toml sets default.mode"):
        configmap_policy.refuse_two_modes({"config.toml": ENFORCE, MODE: AUDIT})
    configmap_policy.refuse_two_modes(
        {"config.toml": b"[", MODE: AUDIT}
    )  # that is for `apply` to say
