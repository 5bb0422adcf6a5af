"""The root command."""

from __future__ import annotations

import importlib
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from runc_wrap.cli.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_prints_its_usage(name: str) -> None:
    module = importlib.import_module(COMMANDS[name][0])
    assert isinstance(getattr(module, name), click.Command)
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: main {name}")


def test_the_help_lists_all_commands_and_imports_none() -> None:
    script = (
        "import sys; from click.testing import CliRunner; from runc_wrap.cli.main import main\n"
        "print(CliRunner().invoke(main, ['--help']).output)\n"
        "print(sorted(m for m in sys.modules if m.startswith(('runc_wrap.cli.', 'rich'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.endswith("['runc_wrap.cli.main']\n")


@pytest.mark.parametrize("words", [["nonsense"], ["apply", "x"], ["--prefix"], ["explain"]])
def test_a_usage_error_exits_with_2(words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr
