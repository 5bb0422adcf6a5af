"""What install.sh installs by hash equals what pyproject.toml and constraints.txt name."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_ENTRY = re.compile(r"([a-z0-9.-]+==[^\s]+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def _locked(name: str) -> dict[str, int]:
    """Return {name==version: how many hashes}; every line of the file is one of these."""
    text = (ROOT / "requirements" / name).read_text()
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    assert _ENTRY.sub("", text) == ""
    return {found[1]: found[2].count("--hash") for found in _ENTRY.finditer(text)}


def _plain(requirements: list[str]) -> set[str]:
    return {each.strip().lower().replace("_", "-") for each in requirements}


WANTED = {
    "runtime.txt": PROJECT["project"]["dependencies"],
    "build.txt": PROJECT["build-system"]["requires"],
}


@pytest.mark.parametrize("name", WANTED)
def test_every_requirement_has_a_hash_and_the_others_are_pinned(name: str) -> None:
    locked, wanted = _locked(name), WANTED[name]
    assert _plain(wanted) <= set(locked)
    pinned = [line for line in (ROOT / "constraints.txt").read_text().split("\n") if "==" in line]
    assert set(locked) <= _plain(wanted) | _plain(pinned)


def test_compiled_packages_have_a_wheel_for_every_python_and_machine() -> None:
    """Four versions of Python, two machines, two C libraries; one wheel may serve all Pythons."""
    hashes = {each.partition("==")[0]: many for each, many in _locked("runtime.txt").items()}
    assert (hashes["orjson"], hashes["psutil"]) == (16, 4)


@pytest.mark.parametrize("name", ["runtime.txt", "build.txt", "lock.py"])
def test_no_index_is_named(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    assert "index-url" not in text
