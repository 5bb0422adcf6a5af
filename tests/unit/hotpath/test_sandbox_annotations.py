"""The sandbox's config: who must own it, and what is read from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.hotpath import config_file, sandbox_annotations
from runc_wrap.hotpath.config_file import Found
from runc_wrap.hotpath.errors import Refusal

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


ODD = ("", ".", "..", "../container", "a/b", "/etc", "S1/", "S1\n", "S 1", "S1\0", "\u0661")


@pytest.mark.parametrize("name", [*ODD, "x" * 129])
def test_a_name_that_is_not_an_id_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> Found:
        raise AssertionError("nothing may be opened")

    place = _made(tmp_path, {"annotations": {**WRITTEN, ID: name}})
    monkeypatch.setattr(config_file, "read", never)
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


@pytest.mark.parametrize("case", NOT_ITS)
def test_a_config_that_is_not_the_sandboxs_is_refused(tmp_path: Path, case: str) -> None:
    config, match = NOT_ITS[case]
    with pytest.raises(Refusal, match=match):
        sandbox_annotations.annotations(_made(tmp_path, config), "S1")


def test_a_missing_sandbox_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="does not exist"):
        sandbox_annotations.annotations(str(tmp_path / "container"), "S1")


def test_a_link_is_refused(tmp_path: Path) -> None:
    place = _made(tmp_path, {"annotations": WRITTEN})
    config = tmp_path / "S1" / "config.json"
    config.rename(tmp_path / "elsewhere")
    config.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refusal, match="is a link"):
        sandbox_annotations.annotations(place, "S1")


def test_a_sandbox_config_that_is_not_roots_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = _made(tmp_path, {"annotations": WRITTEN})
    monkeypatch.setattr(sandbox_annotations, "_ROOT", tmp_path.stat().st_uid + 1)
    with pytest.raises(Refusal, match="not owned by root"):
        sandbox_annotations.annotations(place, "S1")
