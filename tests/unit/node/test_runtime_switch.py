"""A change of the runtime's kind orphans no container."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runc_wrap.node import runtime_switch
from runc_wrap.node.paths import Places
from runc_wrap.policy.compiler_facts import PolicyError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """An installation with runc in force."""
    found = Places(tmp_path / "prefix")
    found.runtime.mkdir(parents=True)
    (found.runtime / "runc").symlink_to("/usr/sbin/runc")
    found.ledger.mkdir(parents=True)
    return found


def _decided(places: Places, root: object, name: str) -> None:
    with (places.ledger / "ledger.jsonl").open("a") as file:
        file.write(json.dumps({"id": name, "root": root, "action": "inject"}) + "\n")


def _made(places: Places, root: Path, name: str) -> Path:
    _decided(places, str(root), name)
    (root / name).mkdir(parents=True)
    return root / name


def _refusal(places: Places, kind: str = "crun") -> str:
    with pytest.raises(PolicyError) as told:
        runtime_switch.check(places, kind)
    return str(told.value)


def test_existing_containers_are_named_once_up_to_three_with_what_to_do(
    places: Places, tmp_path: Path
) -> None:
    made = [_made(places, tmp_path / "root", name) for name in "abc"]
    _decided(places, str(tmp_path / "root"), "a")  # its id was used twice
    every, said = ", ".join(map(str, made)), _refusal(places)
    assert f"from runc to crun, which cannot manage containers of runc: {every} would be" in said
    assert "Stop and delete these first" in said
    for name in "de":
        _made(places, tmp_path / "root", name)
    assert f"{every} and 2 more would" in _refusal(places)


def test_the_same_kind_and_a_first_one_are_never_refused(places: Places, tmp_path: Path) -> None:
    _made(places, tmp_path / "root", "a")
    runtime_switch.check(places, "runc")
    (places.runtime / "runc").unlink()
    runtime_switch.check(places, "crun")


def test_a_kind_whose_program_is_missing_still_has_its_containers(
    places: Places, tmp_path: Path
) -> None:
    made = _made(places, tmp_path / "root", "a")
    (places.runtime / "runc").unlink()
    (places.runtime / "crun").symlink_to(tmp_path / "gone")
    assert f"from crun to runc, which cannot manage containers of crun: {made}" in _refusal(
        places, "runc"
    )


def test_deleted_containers_do_not_block_a_switch(places: Places, tmp_path: Path) -> None:
    _made(places, tmp_path / "root", "a").rmdir()
    runtime_switch.check(places, "crun")


@pytest.mark.parametrize("name", ["", ".", "..", "../root", "a/b", "a\0"])
def test_an_id_that_leads_elsewhere_is_not_a_container(
    name: str, places: Places, tmp_path: Path
) -> None:
    (tmp_path / "root/a/b").mkdir(parents=True)
    _decided(places, str(tmp_path / "root"), name)
    runtime_switch.check(places, "crun")


@pytest.mark.parametrize("root", ["", None, ".", 7])
def test_a_record_without_a_root_is_not_a_container(
    root: object, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    _decided(places, root, "a")
    runtime_switch.check(places, "crun")
