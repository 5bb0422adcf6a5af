"""report --merge and suggest --merge: many nodes' documents through the command."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from harness.node.install import SOURCE
from harness.node.node_reports import call, document, unknown, workload
from runc_wrap.node.container_state import users_containers
from runc_wrap.report.merge import node_document
from tests.unit.cli.conftest import APP, Evidence, merge_file, merge_lines, own_report
from tests.unit.cli.ctl import Node
from tests.unit.evidence.samples import sighting

HOSTILE = '\x1b[31m<script>alert(1)</script>\u202e"'
BLOCK = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
}


def test_a_node_without_workloads_is_named_all_the_same(applied: Node) -> None:
    assert applied.ctl("report", "--json").stdout == "[]\n"
    merged = applied.json("report", "--merge", merge_file(applied, "a", own_report(applied, "a")))
    assert (merged["nodes"], merged["silent"], merged["workloads"]) == (1, [], [])
    result = applied.ctl("report", "--merge", merge_file(applied, "b", []), status=1)
    assert "is a list of 0, not a node's report; collect it again by" in result.stderr


NOTES = [f"{'x' * at} was found" for at in range(25)]


def test_the_table_says_on_how_many_nodes_and_who_did_not_answer(applied: Node) -> None:
    later = {"generated": "2026-11-21T00:00:00Z", "notes": NOTES}
    files = [
        merge_file(applied, "a", document("a", workload("web", call()), workload("db"), **later)),
        merge_file(applied, "b", document("b", workload("web"), unknown("db"))),
        merge_file(applied, "c", node_document.silent("c", "it timed out")),
        *(str(applied.places.prefix / name) for name in ("missing", "lib")),
    ]
    result = applied.ctl("report", "--merge", *files, status=1)
    told = "2 nodes answered, the oldest report of 2026-11-20T00:00:00Z (by b)."
    assert result.stdout.startswith(told)
    row = r"shop/web/app +4 containers on 2 nodes +DENIED +unshare: EPERM"
    assert re.search(row, result.stdout)
    assert "Unknown on 1 of 2 nodes (b): nothing was watching" in result.stdout
    assert result.stderr.count("note: on 1 node (a): ") == 20
    assert "note: and 5 more; --json lists them" in result.stderr
    assert "1 node did not answer; what runs there is unknown:\n  c: it timed out" in result.stderr
    assert "2 documents refused" in result.stderr
    assert "missing: cannot be read: No such file or directory" in result.stderr
    assert "cannot be read: Is a directory" in result.stderr


STATUS = [
    ([document("a", workload()), document("b", workload())], 0),
    ([document("a", workload()), node_document.silent("b", "it timed out")], 1),
    ([document("a", workload()), 3], 1),
    ([document("a", workload("web", call()))], 1),
    ([document("a", unknown())], 1),
]


@pytest.mark.parametrize(("documents", "status"), STATUS)
def test_the_status_is_0_only_if_every_node_answered_and_nothing_breaks(
    applied: Node, documents: list[Any], status: int
) -> None:
    for words in ((), ("--json",)):
        applied.ctl("report", "--merge", *words, "-", stdin=merge_lines(*documents), status=status)


def test_one_workload_is_shown_in_full(applied: Node) -> None:
    both = document("a", workload("web", call())), document("b", unknown())
    place = merge_file(applied, "a", *both)
    result = applied.ctl("report", "--merge", "--workload", "shop/web/app", place)
    lines = result.stdout.splitlines()
    assert lines[0] == "shop/web/app: DENIED"
    assert "unknown on 1 node: b" in lines
    said = applied.failure("report", "--merge", "--workload", "shop/none/app", place)
    assert "there is no such workload" in said


HOSTILE_DATA = {
    "not JSON": b"Error from server (Forbidden): \x1b[31mno\n",
    "binary": bytes(range(256)) * 40,
    "negative": json.dumps(document("a", workload(watched=-5))).encode(),
}


@pytest.mark.parametrize("kind", HOSTILE_DATA)
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_hostile_documents_are_never_safe(applied: Node, kind: str, words: tuple[str, ...]) -> None:
    result = applied.ctl("report", "--merge", *words, "-", stdin=HOSTILE_DATA[kind])
    assert isinstance(result.exception, SystemExit | None), result.exception
    told = result.stdout + result.stderr
    assert "Traceback" not in told
    assert all(character.isprintable() or character == "\n" for character in told)
    assert result.exit_code == 1
    assert "refused" in told
    assert "stdin, document 1" in told


def test_the_page_of_a_fleet_escapes_and_names_who_is_missing(applied: Node) -> None:
    denied = call("sched_setaffinity", 203, programs=[HOSTILE])
    bad = workload("web", denied, image=HOSTILE, reason=HOSTILE)
    first = document("a", bad, unknown("db", reason=HOSTILE))
    silent = node_document.silent(HOSTILE, HOSTILE)
    place = merge_file(applied, "a", first, document("b", workload("db")), silent)
    page = applied.places.prefix / "page.html"
    result = applied.ctl("report", "--merge", "--html", str(page), place, status=1)
    text = page.read_text()
    assert "<script>alert" not in text
    assert "\x1b" not in text + result.stdout + result.stderr
    assert "Nodes or documents that are missing: 1. What runs there is unknown." in text
    assert "2 containers on 1 node" in text
    assert "runc-wrapctl suggest web" not in text  # no single node has the evidence


def _suggested(node: Node, *words: str) -> tuple[dict[str, Any], str]:
    result = node.ctl("suggest", "shop/web/app", "--merge", *words, status=0)
    return json.loads(result.stdout), result.stderr


def test_no_node_chooses_the_profile_that_is_added_to(applied: Node) -> None:
    """Documents of earlier releases have their nodes' own, as `block`."""
    known, _ = _suggested(applied, merge_file(applied, "n", document("a", _denied())))
    sent = document("h", _denied(block={**BLOCK, "defaultAction": "SCMP_ACT_ALLOW"}))
    assert _suggested(applied, merge_file(applied, "h", sent))[0] == known
    assert known["defaultAction"] == "SCMP_ACT_ERRNO"


def _denied(**changes: Any) -> Any:
    return workload("web", call("setns", 308), **changes)


def test_a_profile_that_is_not_known_here_is_given_or_sent_by_the_cluster(
    applied: Node,
) -> None:
    place = merge_file(applied, "a", document("a", _denied(profile="localhost/own.json")))
    said = applied.failure("suggest", "shop/web/app", "--merge", place)
    assert "its profile is not known. there is no file own.json in the profile directory" in said
    assert "give the profile itself by --base FILE" in said
    own = applied.places.prefix / "own.json"
    own.write_text(json.dumps(BLOCK))
    found, _ = _suggested(applied, "--base", str(own), place)
    assert found["syscalls"] == BLOCK["syscalls"]
    own.write_text("what")
    words = ("suggest", "shop/web/app", "--merge", "--base", str(own), place)
    assert "own.json" in applied.failure(*words)
    sent = applied.places.cluster / "policy" / "sent" / "profiles"
    sent.mkdir(parents=True)
    sent.parent.with_name("current").symlink_to("sent")
    (sent / "own.json").write_text(json.dumps(BLOCK))
    found, _ = _suggested(applied, place)
    assert found["syscalls"] == BLOCK["syscalls"]


def test_suggest_says_that_no_node_saw_anything_to_add(applied: Node) -> None:
    """Its profile is known, and is not printed: profiles are loaded for workloads with calls."""
    place = merge_file(applied, "a", document("a", workload("db")))
    said = applied.failure("suggest", "shop/db/app", "--merge", place)
    assert "there is nothing to add. No node has seen a call of it that would be denied." in said
    assert "not known" not in said


def test_suggest_warns_of_different_profiles(applied: Node) -> None:
    named = [_denied(profile=name) for name in ("moby", "containerd", "moby")]
    several = [document(name, row) for name, row in zip("abc", named, strict=True)]
    _, said = _suggested(applied, merge_file(applied, "b", *several))
    assert "several profiles for it (containerd, moby); this adds to moby." in said


WRONG_WORDS = [
    (["report", "--merge"], "--merge needs files"),
    (["report", "--merge", "x", "--node", "a"], "leave out --merge"),
    (["report", "--workload", "x"], "--workload and --without need --merge"),
    (["report", "x", "y"], "need --merge"),
    (["report", "--without", "x"], "need --merge"),
    (["suggest", "web", "--base", "x"], "are for --merge"),
    (["report", "--node", "a"], "with --json"),
    (["report", "--json", "--node", ""], "1 to 253 characters"),
    (["suggest", "web", "x"], "belong together"),
    (["suggest", "web", "--merge"], "belong together"),
]


@pytest.mark.parametrize(("words", "said"), WRONG_WORDS)
def test_words_that_do_not_combine_are_refused(applied: Node, words: list[str], said: str) -> None:
    assert said in applied.failure(*words)


def test_what_a_user_sees_is_no_nodes_report(
    applied: Node, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence.container("c1", sighting())
    monkeypatch.setattr(users_containers, "is_root", lambda: False)
    rows = json.loads(applied.ctl("report", "--json").stdout)
    assert "a user sees only own containers" in applied.failure("report", "--json", "--node", "a")
    monkeypatch.undo()
    result = applied.ctl("report", "--merge", merge_file(applied, "a", rows))
    assert "not a node's report" in result.stderr


RECIPE = re.compile(r"    for node in a b c; do\n(?:    .*\n)+?    done > fleet.json\n")
SSH = """#!/bin/sh
case "$*" in
"-n a runc-wrapctl report --json --node a") cat a.json; exit 1 ;;
"-n b runc-wrapctl report --json --node b") [ -e b.sh ] && . ./b.sh; head -c 100 a.json; exit 255 ;;
*) exit 1 ;;
esac
"""


def _collected(node: Node, place: Path) -> Result:
    ssh = place / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    recipe = RECIPE.search((SOURCE / "docs" / "fleet.md").read_text())
    assert recipe
    path = {"PATH": f"{place}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", recipe[0]], cwd=place, env=path, check=False)
    return node.ctl("report", "--merge", "--json", str(place / "fleet.json"))


FORGED = r"""
for node in a c d; do
    %s
    printf '{"form": 1, "node": "%%s", "generated": null, "workloads": []}\n' "$node"
done
exit 0
"""


ASKED = ['printf \'{"form": 1, "asked": "%s"}\\n\' "$node"', ":", "echo", None]


@pytest.mark.parametrize("first", ASKED)
def test_by_the_guides_recipe_no_node_answers_for_another(
    applied: Node, evidence: Evidence, tmp_path: Path, first: str | None
) -> None:
    """The ssh of b and c fails; a hostile b prints answers of a, c and d before, as the recipe."""
    evidence.container("c1", sighting(), **APP)
    (tmp_path / "a.json").write_text(applied.ctl("report", "--json", "--node", "a").stdout)
    if first:
        (tmp_path / "b.sh").write_text(FORGED % first)
    result = _collected(applied, tmp_path)
    merged = json.loads(result.stdout)
    found = [(one["name"], one["verdict"]) for one in merged["workloads"]]
    assert (merged["nodes"], found) == (1, [("shop/web/app", "denied")])
    missing = [one["node"] for one in merged["silent"]]
    assert sorted([*missing, *(one["document"] for one in merged["refused"])]) == ["b", "c"]
    assert first or missing == ["b", "c"]
    assert result.exit_code == 1
