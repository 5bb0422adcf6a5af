"""Rootless Podman on runc and crun: the user's decisions, as root sees them and as the user does.

Podman runs the runtime as uid 0 of a user namespace, with XDG_RUNTIME_DIR set.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.engines.images import REFERENCE
from harness.engines.podman import OWN, UID, Rootless, rootless
from harness.host.processes import Run, short_directory
from harness.node.install import Installed, copy_of, install

KINDS = ("runc", "crun")


@pytest.fixture(scope="module")
def nodes() -> Iterator[dict[str, Installed]]:
    """An installation for each runtime that a user may enter, with root's ledger."""
    with short_directory("rootless", 0o755) as place:
        whole = install(place / "whole")
        made = {}
        for kind in KINDS:
            made[kind] = copy_of(whole, place / kind)
            made[kind].configure(f'runtime = ["{kind}"]\n')
            ledger = made[kind].prefix / "var/ledger"
            ledger.mkdir(mode=0o700)
            (ledger / "ledger.jsonl").touch(mode=0o600)
            (made[kind].prefix / "var/evidence/containers").mkdir(parents=True, mode=0o700)
            (made[kind].prefix / "var/evidence").chmod(0o700)
        yield made


@dataclass(frozen=True)
class Users:
    """A user's Podman with one container on each runtime, called as the runtime is."""

    engine: Rootless
    nodes: dict[str, Installed]
    ids: dict[str, str]

    def root(self, *words: str, kind: str = "runc") -> Run:
        """Run root's runc-wrapctl in the user's mount namespace; a failure is returned."""
        return self.engine.root(self.nodes[kind].ctl, *words)

    def user(self, *words: str, kind: str = "runc") -> Run:
        """Run runc-wrapctl as the user; a failure is returned."""
        return self.engine.user(self.nodes[kind].ctl, *words)


@pytest.fixture(scope="module")
def users(nodes: dict[str, Installed], image: Path) -> Iterator[Users]:
    wrappers = {kind: node.wrapper for kind, node in nodes.items()}
    with short_directory("user") as directory, rootless(directory, image, wrappers) as made:
        for kind in KINDS:
            made.podman("--runtime", kind, "run", "--detach", "--name", kind, REFERENCE)
        ids = {kind: made.podman("inspect", "--format", "{{.Id}}", kind) for kind in KINDS}
        yield Users(made, nodes, ids)


def rows(done: Run) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return {row["id"]: row for row in json.loads(done.stdout)}


@pytest.mark.parametrize("kind", KINDS)
def test_roots_status_shows_what_was_decided_in_the_users_ledger(users: Users, kind: str) -> None:
    row = rows(users.root("status", "--json", kind=kind))[users.ids[kind]]
    assert (row["owner"], row["root"]) == (UID, str(OWN / kind))
    assert (row["action"], row["mode"], row["agrees"]) == ("inject", "enforce", True)
    assert row["effective"] == {"seccomp": 2, "filters": 1}


def test_roots_verify_agrees_about_the_users_containers(users: Users) -> None:
    done = users.root("verify", "--json")
    (user,) = json.loads(done.stdout)["users"]
    assert (done.returncode, user["uid"], user["containers"]) == (0, UID, len(KINDS))
    assert (user["disagreeing"], user["unreadable"]) == ([], [])


def test_roots_tighten_leaves_the_users_containers_and_names_one_that_is_asked_for(
    users: Users,
) -> None:
    words = ("tighten", "--dry-run", "--named", "containerd")
    done = users.root(*words, users.ids["runc"])
    assert (done.returncode, f"it belongs to uid {UID}" in done.stderr) == (1, True), done.stderr
    assert "since they belong to other users" in users.root(*words).stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_users_status_and_verify_cover_the_users_containers(users: Users, kind: str) -> None:
    done = users.user("status", "--json", kind=kind)
    found = rows(done)
    assert [found[one]["agrees"] for one in users.ids.values()] == [True] * len(KINDS)
    assert [found[one]["mode"] for one in users.ids.values()] == ["enforce"] * len(KINDS)
    assert "run it as root to see" in done.stderr
    assert "Error" not in done.stderr
    told = users.user("verify", kind=kind)
    assert (told.returncode, told.stdout) == (0, "2 containers checked, 0 disagree\n"), told.stderr


def test_a_users_deep_verify_reads_no_filters_and_says_what_can_be_compared(users: Users) -> None:
    """Root's reads none of a user's either, so it would be no help to send the user to root."""
    done = users.user("verify", "--deep", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["checked"], told["disagreeing"]) == (2, len(KINDS), [])
    assert {one["id"] for one in told["unchecked"]} == {*users.ids.values()}
    assert done.stderr.count("try: `runc-wrapctl verify`") == len(KINDS)
    root = users.root("verify", "--deep", "--json")
    assert (root.returncode, json.loads(root.stdout)["unchecked"]) == (0, [])


def test_a_users_report_gives_verdicts_and_says_what_only_root_can_know(users: Users) -> None:
    done = users.user("report", "--json")
    assert done.returncode == 0, done.stderr
    assert sum(one["containers"] for one in json.loads(done.stdout)) == len(KINDS)
    assert (
        "which has no calls of users' own containers; try: run their image as root's" in done.stderr
    )
    assert "Error" not in done.stderr


def test_a_users_false_claim_is_an_error_only_for_that_user(users: Users) -> None:
    ledger = users.engine.space.inside(OWN / "runc-wrap/ledger/ledger.jsonl")
    before = ledger.read_text()
    try:
        ledger.write_text(before.replace('"filters":1', '"filters":9'))
        own = users.user("verify")
        assert own.returncode == 1
        assert "2 disagree" in own.stdout
        root = users.root("verify")
        assert (root.returncode, root.stdout) == (0, "0 containers checked, 0 disagree\n")
        assert f"uid {UID}: " in root.stderr
    finally:
        ledger.write_text(before)
