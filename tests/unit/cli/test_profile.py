"""profile list and profile show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.policy.node import PROFILE, profile

if TYPE_CHECKING:
    from tests.unit.cli.ctl import Node


def test_the_list_has_the_built_in_ones_and_the_owners(applied: Node) -> None:
    applied.configure("", own=PROFILE)
    rows = {row["name"]: row for row in applied.json("profile", "list")}
    assert set(rows) == {"containerd", "containers-common", "crio", "moby", "localhost/own.json"}
    assert rows["containers-common"]["runtime_default_of"] == ["podman", "buildah"]
    assert rows["localhost/own.json"]["source"] == str(applied.places.profiles / "own.json")
    assert rows["moby"]["source"] == "built in"


def test_the_table_says_the_same_one_line_each(applied: Node) -> None:
    applied.configure("", **{"o" * 150: PROFILE, "[red]": PROFILE})
    lines = applied.ctl("profile", "list").stdout.splitlines()
    assert lines[0].split() == ["profile", "from", "runtime-default", "of"]
    assert len(lines) == 7
    assert any(line.startswith("localhost/[red].json ") for line in lines)


@pytest.mark.parametrize(
    ("words", "called"),
    [
        ([], False),
        (["--caps", "sys_admin"], True),
        (["--caps", "CAP_SYS_ADMIN,NET_RAW"], True),
        (["--caps", "all"], True),
    ],
)
def test_a_profile_is_shown_as_a_container_with_these_capabilities_gets_it(
    words: list[str], called: bool, node: Node
) -> None:
    result = node.ctl("profile", "show", "moby@26.1.5", "--arch", "arm64", *words)
    assert result.exit_code == 0
    assert ('"mount"' in result.stdout) is called
    assert "SCMP_ARCH_AARCH64" in result.stdout


def test_runtime_default_is_that_of_the_given_engine(applied: Node) -> None:
    shown = [
        applied.ctl("profile", "show", *words).stdout
        for words in (["runtime-default", "--engine", "podman"], ["containers-common"])
    ]
    assert shown[0] == shown[1] != ""


def test_an_own_profile_is_shown(node: Node) -> None:
    node.configure("", own=profile(syscalls=[{"names": ["bpf"], "action": "SCMP_ACT_KILL"}]))
    assert '"SCMP_ACT_KILL"' in node.ctl("profile", "show", "localhost/own.json").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dokcer"], "no built-in profile is called 'dokcer'; there are"),
        (["localhost/x"], "there is no file x in the profile directory; it has"),
        (["x.json"], "write ./x.json for a file"),
        (["moby", "--arch", "vax"], "the architecture 'vax' is not known"),
        (["moby", "--caps", "SYS_ADMN\x1b"], "CAP_SYS_ADMN\\x1b: no such capability"),
        (["moby@1"], "older than the built-in profiles"),
        (["runtime-default"], "Run `runc-wrapctl apply`"),
    ],
)
def test_a_profile_that_cannot_be_shown_is_reported(
    words: list[str], said: str, node: Node
) -> None:
    assert said in node.failure("profile", "show", *words)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("none.json", "no file none.json in the profile directory, which localhost/own.json names"),
        ("own.json", "a chain of more than 8 bases leads to it, or a circle"),
    ],
)
def test_a_base_that_cannot_be_found_is_reported(base: str, said: str, node: Node) -> None:
    node.configure("", own=json.dumps({"base": f"localhost/{base}"}).encode())
    assert said in node.failure("profile", "show", "localhost/own.json")
