"""What people expect of every command: help, JSON, status, and nothing on a pipe but output."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.manual import pages
from harness.host.processes import environment
from runc_wrap.cli.root_command import main
from runc_wrap.metrics import prometheus_text

if TYPE_CHECKING:
    from tests.unit.cli.ctl import Node

CONTEXTS = {context.command_path: context for context in pages.contexts(main)}
LEAVES = sorted(
    path.removeprefix("runc-wrapctl ")
    for path, context in CONTEXTS.items()
    if not isinstance(context.command, click.Group)
)
# Each command that shows something, and words with which it has something to show. `NODE` stands
# for the test's own directory.
SHOWING: dict[str, list[str]] = {
    "apply": [],
    "doctor": [],
    "engine add": ["podman", "--dry-run", "--config", "NODE/podman.conf"],
    "engine list": [],
    "engine prove": ["podman", "--config", "NODE/podman.conf"],
    "engine remove": ["podman", "--dry-run", "--config", "NODE/podman.conf"],
    "engine revert": ["--boot"],
    "engine status": [],
    "explain": ["NODE/config.json"],
    "metrics": [],
    "policy reference": [],
    "profile capture": ["podman"],
    "profile diff": ["containerd", "moby"],
    "profile groups": [],
    "profile lint": ["containerd"],
    "profile list": [],
    "profile show": ["containerd"],
    "profile simulate": ["containerd"],
    "report": [],
    "selftest": [],
    "status": [],
    "suggest": ["web"],
    "tighten": ["--named", "containerd", "--dry-run"],
    "verify": [],
    "uninstall": ["--dry-run"],
    "version": [],
    "watch": ["--seconds", "0.1"],
}
# services run in the foreground, and what the command that is recorded prints is its own
NOT_SHOWING = re.compile("agent|profile record$")


def _words(node: Node, command: str) -> list[str]:
    """Return a command's words on a node with the defaults in force."""
    place = node.places.prefix
    (place / "config.json").write_text('{"ociVersion": "1.0.2", "linux": {}}')
    return [*command.split(), *(word.replace("NODE", str(place)) for word in SHOWING[command])]


def test_every_command_that_shows_something_is_tried_here() -> None:
    assert [one for one in LEAVES if not NOT_SHOWING.match(one)] == sorted(SHOWING)


@pytest.mark.parametrize("command", SHOWING)
def test_json_is_one_document_in_ascii_and_the_status_is_one_of_three(
    applied: Node, command: str
) -> None:
    result = applied.ctl(*_words(applied, command), "--json")
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code in (0, 1, 2), result.output
    assert "Traceback" not in result.stderr
    if result.exit_code == 2:
        assert result.stdout == ""
        assert result.stderr.startswith(("Error: ", "note: ")), result.stderr
    else:
        assert result.stdout.isascii()
        documents = result.stdout.splitlines() if command == "watch" else [result.stdout]
        assert all(json.loads(one) is not None for one in documents)


@pytest.mark.parametrize("command", SHOWING)
def test_a_pipe_gets_no_control_characters(applied: Node, command: str) -> None:
    result = applied.ctl(*_words(applied, command))
    assert result.exit_code in (0, 1, 2)
    assert all(c.isprintable() or c == "\n" for c in result.stdout + result.stderr)


@pytest.mark.parametrize("command", SHOWING)
def test_what_it_cannot_read_ends_with_2_and_a_sentence(applied: Node, command: str) -> None:
    """The ledger, the evidence and the policy are directories' names without directories."""
    for directory in (applied.places.ledger, applied.places.evidence, applied.places.current):
        directory.unlink(missing_ok=True)
        directory.write_text("")
    result = applied.ctl(*_words(applied, command))
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code in (0, 1, 2)


UNREAD = 141  # as a shell says of a program that SIGPIPE ended
# What prints nothing on this node, or only why not
SILENT = {
    "engine add",
    "engine prove",
    "profile capture",
    "profile simulate",
    "selftest",
    "suggest",
}


@pytest.mark.parametrize("command", SHOWING)
def test_a_reader_that_has_enough_hears_no_traceback(applied: Node, command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "from runc_wrap.cli.entry_point import start; start()"
    words = ["--prefix", str(applied.places.prefix), *_words(applied, command)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        check=False,
    )
    os.close(writing)
    if command != "watch":  # it prints what any container of the machine calls
        assert (done.returncode == UNREAD) is (command not in SILENT)
    assert not re.search("Traceback|Broken|ignored", done.stderr), done.stderr


def test_metrics_are_the_same_in_json(applied: Node) -> None:
    one = [sample for family in applied.json("metrics") for sample in family["samples"]]
    text = text_string_to_metric_families(applied.ctl("metrics").stdout)
    other = [{"name": one.name, "labels": one.labels, "value": one.value}
             for family in text for one in family.samples]  # fmt: skip
    for samples in (one, other):
        samples.sort(key=str)
        for sample in samples:
            if sample["name"] == prometheus_text.WRITTEN:
                sample["value"] = 0
    assert one == other
    place = str(applied.places.prefix / "x.prom")
    assert "leave --json out" in applied.failure("metrics", "--textfile", place, "--json")
