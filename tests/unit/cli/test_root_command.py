"""The root command."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from runc_wrap.cli.root_command import COMMANDS, main

if TYPE_CHECKING:
    from pathlib import Path

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
def test_a_mistyped_prefix_is_refused_and_nothing_is_made_there(
    words: list[str], tmp_path: Path
) -> None:
    """`verify` would find nothing wrong, and `apply` would put a policy in force for nobody."""
    result = CliRunner().invoke(main, ["--prefix", str(tmp_path), *words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {tmp_path} has no installation: ")
    assert list(tmp_path.iterdir()) == []


def test_what_an_installation_that_was_deleted_recorded_can_be_read_and_taken_back(
    tmp_path: Path,
) -> None:
    (tmp_path / "var").mkdir()
    result = CliRunner().invoke(main, ["--prefix", str(tmp_path), "engine", "revert"])
    assert (result.exit_code, result.stdout) == (0, "nothing to take back\n")


FULL = "Error: No space left on device; try"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("version >&-", 0, ""),
        ("version >&- 2>&-", 0, ""),
        ("version >/dev/full", 2, FULL),
        ("--help >/dev/full", 2, FULL),
    ],
)
def test_a_closed_or_full_stdout_is_no_traceback(words: str, status: int, said: str) -> None:
    script = f'"$1" -c "from runc_wrap.cli.entry_point import start; start()" {words}'
    done = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.partition(":")[0]) == (status, said.partition(":")[0])
    assert done.stderr.startswith(said)
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


@pytest.mark.parametrize(
    ("module", "status"),
    [
        ("click", -signal.SIGINT),
        ("runc_wrap.cli.root_command", -signal.SIGINT),
        ("runc_wrap.node.paths", -signal.SIGINT),
        ("runc_wrap.cli.status", 130),
        ("runc_wrap.node.container_state.container_status", 130),
    ],
)
def test_ctrl_c_while_modules_are_loaded_ends_it_without_words(module: str, status: int) -> None:
    """To a shell, an end by the signal is 130 as well."""
    argv = [sys.executable, "-c", INTERRUPTED_AT, module, "status"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
