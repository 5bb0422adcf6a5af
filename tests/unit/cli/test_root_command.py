"""The root command, and what people expect of every command.

Help, JSON, status, nothing on a pipe but output, and no traceback however it ends.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from deploy.manual import contexts
from harness.host.processes import environment
from runc_wrap.cli.root_command import COMMANDS, main
from runc_wrap.metrics import prometheus_series
from tests.unit.cli.ctl import Node

HELP = """
import sys
from click.testing import CliRunner
from runc_wrap.cli.root_command import main
print(CliRunner().invoke(main, ["--help"]).output)
print(sorted(m for m in sys.modules if m.startswith("runc_wrap.cli.")))
for words in [], ["doctor"], ["engine"], ["engine", "add"]:
    one, other = (CliRunner().invoke(main, [*words, how]) for how in ("-h", "--help"))
    assert (one.exit_code, one.output) == (0, other.output), one.output
"""


def test_the_help_lists_all_commands_and_imports_none_and_has_a_short_option() -> None:
    """In a process of its own: click remembers a command's options from the first call on."""
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.endswith("['runc_wrap.cli.root_command']\n")


@pytest.mark.parametrize("words", [
    *([["nonsense"], ["apply", "x"], ["--prefix"], ["explain"], ["apply", "x\ny"]]),
    *(["watch", "--seconds", number] for number in ("nan", "inf", "-1", "1e400")),
])  # fmt: skip
def test_a_usage_error_exits_with_2(words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("words", [
    *([["apply"], ["verify"], ["status", "--json"], ["metrics"], ["doctor", "--json"]]),
    *([["doctor", "--fix"], ["uninstall", "--purge"]]),  # of `--prefix /` it would be /etc/conf.d
])  # fmt: skip
def test_a_mistyped_prefix_is_refused_and_stays_empty(words: list[str], tmp_path: Path) -> None:
    """`verify` would find nothing wrong, and `apply` would put a policy in force for nobody."""
    result = CliRunner().invoke(main, ["--prefix", str(tmp_path), *words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {tmp_path} has no installation: ")
    assert list(tmp_path.iterdir()) == []


def test_what_a_deleted_installation_recorded_can_be_read_and_taken_back(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    result = CliRunner().invoke(main, ["--prefix", str(tmp_path), "engine", "revert"])
    assert (result.exit_code, result.stdout) == (0, "nothing to take back\n")


FULL = "Error: No space left on device; try"


OUTPUTS = [(">&-", 0, ""), (">&- 2>&-", 0, ""), (">/dev/full", 2, FULL)]


@pytest.mark.parametrize("command", ["version", "--help"])
@pytest.mark.parametrize(("output", "status", "said"), OUTPUTS)
def test_a_closed_or_full_stdout_is_told(command: str, output: str, status: int, said: str) -> None:
    script = f'"$1" -c "from runc_wrap.cli.entry_point import start; start()" {command} {output}'
    argv = ["sh", "-c", script, "sh", sys.executable]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stderr.startswith(said) if said else not done.stderr
    assert "Exception" not in done.stderr


INTERRUPTED_AT = """
import os, signal, sys
module = sys.argv.pop(1)
class Interrupting:
    def find_spec(self, name, *_):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from runc_wrap.cli.entry_point import start
start()
"""


INTERRUPTED = [
    ("click", -signal.SIGINT),
    ("runc_wrap.cli.root_command", -signal.SIGINT),
    ("runc_wrap.node.paths", -signal.SIGINT),
    ("runc_wrap.node.container_state.container_status", 130),
]


@pytest.mark.parametrize(("module", "status"), INTERRUPTED)
def test_ctrl_c_while_modules_are_loaded_ends_it_without_words(module: str, status: int) -> None:
    """To a shell, an end by the signal is 130 as well."""
    argv = [sys.executable, "-c", INTERRUPTED_AT, module, "status"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


CONTEXTS = {context.command_path: context for context in contexts(main)}
LEAVES = sorted(
    path.removeprefix("runc-wrapctl ")
    for path, context in CONTEXTS.items()
    if not isinstance(context.command, click.Group)
)
# Each command that shows something, and words with which it has something to show. `NODE` stands
# for the test's own directory.
ALONE = "apply, doctor, engine list, engine status, metrics, policy reference, profile groups, "
ALONE += "profile list, report, selftest, status, verify, version"
SHOWING: dict[str, list[str]] = {
    **{name: [] for name in ALONE.split(", ")},
    "engine add": ["podman", "--dry-run", "--config", "NODE/podman.conf"],
    "engine prove": ["podman", "--config", "NODE/podman.conf"],
    "engine remove": ["podman", "--dry-run", "--config", "NODE/podman.conf"],
    "engine revert": ["--boot"],
    "explain": ["NODE/config.json"],
    "profile capture": ["podman"],
    "profile diff": ["containerd", "moby"],
    **{f"profile {name}": ["containerd"] for name in ("lint", "show", "simulate")},
    "suggest": ["web"],
    "tighten": ["--named", "containerd", "--dry-run"],
    "uninstall": ["--dry-run"],
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
def test_a_pipe_gets_no_control_characters_and_json_in_ascii(applied: Node, command: str) -> None:
    words = _words(applied, command)
    for result in (applied.ctl(*words), applied.ctl(*words, "--json")):
        assert isinstance(result.exception, SystemExit | None), result.exception
        assert result.exit_code in (0, 1, 2), result.output
        assert all(c.isprintable() or c == "\n" for c in result.stdout + result.stderr)
        assert "Traceback" not in result.stderr
    if result.exit_code == 2:
        assert result.stdout == ""
        assert result.stderr.startswith(("Error: ", "note: ")), result.stderr
    else:
        assert result.stdout.isascii()
        documents = result.stdout.splitlines() if command == "watch" else [result.stdout]
        assert all(json.loads(one) is not None for one in documents)
    # what it cannot read is no traceback: these are directories' names without directories
    for directory in (applied.places.ledger, applied.places.evidence, applied.places.current):
        directory.unlink(missing_ok=True)
        directory.write_text("")
    result = applied.ctl(*_words(applied, command))
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code in (0, 1, 2)


def test_a_reader_that_has_enough_hears_no_traceback(applied: Node) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "from runc_wrap.cli.entry_point import start; start()"
    words = ["--prefix", str(applied.places.prefix), "profile", "show", "moby"]
    argv, errors = [sys.executable, "-c", code, *words], subprocess.PIPE
    env = environment()
    done = subprocess.run(argv, stdout=writing, stderr=errors, text=True, env=env, check=False)
    os.close(writing)
    assert done.returncode == 141  # as a shell says of a program that SIGPIPE ended
    assert not re.search("Traceback|Broken|ignored", done.stderr), done.stderr


def test_metrics_are_the_same_in_json(applied: Node) -> None:
    one = [sample for family in applied.json("metrics") for sample in family["samples"]]
    families = text_string_to_metric_families(applied.ctl("metrics").stdout)
    text = (sample for family in families for sample in family.samples)
    other = [{"name": each.name, "labels": each.labels, "value": each.value} for each in text]
    for samples in (one, other):
        samples.sort(key=str)
        for sample in samples:
            if sample["name"] == prometheus_series.WRITTEN:
                sample["value"] = 0
    assert one == other
    place = str(applied.places.prefix / "x.prom")
    assert "leave --json out" in applied.failure("metrics", "--textfile", place, "--json")
