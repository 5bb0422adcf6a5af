"""apply: all or nothing, and what it prints."""

from pathlib import Path

import pytest

from tests.unit.cli.ctl import Node
from tests.unit.evidence.samples import write_ledger
from tests.unit.node.machine import fake
from tests.unit.policy.node import PROFILE, profile


def test_the_runtimes_link_stays_the_same_while_the_runtime_does(applied: Node) -> None:
    """Its time says since when that runtime is in force: doctor compares it with the engines'."""
    link = applied.places.runtime / "runc"
    before = link.lstat().st_ino
    assert applied.ctl("apply").exit_code == 0
    assert link.lstat().st_ino == before


def test_json_has_what_the_lines_say(node: Node) -> None:
    node.configure("[overlay]\ndeny = ['swapon']\n[[rule]]\nname = 'look'\nmode = 'audit'")
    checked = node.json("apply", "--check")
    assert (checked["in_force"], node.places.current.exists()) == (False, False)
    found = node.json("apply")
    assert found == {**checked, "in_force": True}
    assert found["runtime"]["path"] == f"{node.programs}/runc"
    assert found["default"] == {"profile": "runtime-default", "mode": "enforce"}
    rule = dict.fromkeys(("name", "mode", "profile", "adopt", "record", "candidate"))
    assert found["rules"] == [rule | {"name": "look", "mode": "audit"}]
    assert "swapon" in found["overlay"]["deny"]
    assert found["own_profiles"] == []
    assert found["changes"] is None
    assert node.json("apply", "--diff")["changes"] == []


def test_rules_overlay_profiles_and_remarks_on_them_are_printed(node: Node) -> None:
    node.configure(
        "[overlay]\ndeny = ['swapon']\ndeny_sockets = ['AF_ALG']\n"
        "[[rule]]\nname = 'look'\nmode = 'audit'\nuntil = 2020-01-01\n"
        "[[rule]]\nname = 'take'\nmode = 'enforce'\nadopt = 'runtime-default, also weaker'\n",
        a=profile(syscalls=[{"names": ["mount"], "action": "SCMP_ACT_ALLOW"}]),
    )
    result = node.ctl("apply", status=0)
    rings = "io_uring_setup, io_uring_enter, io_uring_register"
    for wanted in (
        "rule 1           look (audit)\n",
        "rule 2           take (enforce, adopts runtime-default, also weaker)\n",
        f"overlay          denies swapon, {rings}, socket family 38\n",
        f"{node.places.config}:3: io_uring can replace the denied sockets, unseen by",
        f"{node.places.config}:3: overlay.deny_sockets: ways around the denied",
        f"warning: {node.places.config}:7: the rule 'look' has ended (2020-01-01)",
        "own profiles     localhost/a.json\n",
        "note: profile localhost/a.json: syscalls[0]: ",
    ):
        assert wanted in result.stdout


ERRORS = [
    ("runtim = 'runc'", {}, "config.toml:1: runtim is not a setting (did you mean runtime?)"),
    ("runtime = ['none']", {}, "none of the runtimes none was found"),
    ("[default]\nprofile = 'x'", {}, "no built-in profile is called 'x'"),
    ("", {"a": b"{"}, "profile localhost/a.json: a.json: not JSON: "),
    ("", {"a": profile(flags=["SECCOMP_FILTER_FLAG_LOG"])}, "runc 1.1.15 refuses every"),
    ("", {"n" * 190: PROFILE}, "the name is too long"),
    ("x = '\x1b[2J'", {}, "character '\\x1b'"),
]


@pytest.mark.parametrize(("text", "profiles", "said"), ERRORS)
def test_any_error_leaves_the_policy_in_force(
    text: str, profiles: dict[str, bytes], said: str, applied: Node
) -> None:
    before = applied.places.current.resolve()
    applied.configure(text, **profiles)
    for words in (["apply"], ["apply", "--check"]):
        stderr = applied.failure(*words)
        assert said in stderr.replace("\n", " ")
        assert "\x1b" not in stderr
    assert applied.places.current.resolve() == before


def test_installing_another_runtime_does_not_switch_and_containers_of_one_are_a_refusal(
    node: Node, tmp_path: Path
) -> None:
    def kinds() -> list[str]:
        return [link.name for link in node.places.runtime.iterdir()]

    (node.programs / "runc").rename(node.programs / "away")
    fake(node.programs, "crun", "echo crun version 1.21")
    node.apply("")
    (node.programs / "away").rename(node.programs / "runc")
    node.apply("")
    assert kinds() == ["crun"]
    (tmp_path / "root/abc").mkdir(parents=True)
    write_ledger(node.places.ledger, {"id": "abc", "root": str(tmp_path / "root")})
    before = node.places.current.resolve()
    node.configure("runtime = ['runc', 'crun']")
    for words in (["apply"], ["apply", "--check"]):
        assert f"cannot manage containers of crun: {tmp_path}/root/abc" in node.failure(*words)
    assert (kinds(), node.places.current.resolve()) == (["crun"], before)
    node.ctl("apply", "--force", status=0)
    assert kinds() == ["runc"]
