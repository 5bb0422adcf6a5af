"""The completions of an installation in the real shells, through its own entry point."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.manual import write
from harness.host.processes import environment, run
from harness.node.install import Installed
from harness.node.requirements import program
from harness.shown.terminal import Session


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an archive has, each file in a directory where its shell looks for it."""
    directory = tmp_path_factory.mktemp("share")
    write(directory, "", 0)
    return directory / "completions"


@pytest.fixture(params=["bash", "zsh"])
def session(request: pytest.FixtureRequest, installed: Installed, share: Path) -> Iterator[Session]:
    """An interactive shell that has the completion."""
    path = f"{installed.ctl.parent}:{os.environ['PATH']}"
    words = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}[request.param]
    begun = {
        "bash": f"PS1='READY>'; source {share}/bash/runc-wrapctl",
        "zsh": f"PS1='READY>'; fpath=({share}/zsh $fpath); autoload -Uz compinit; compinit -D -u",
    }[request.param]
    opened = Session([program(request.param), *words], 120, PATH=path, TERM="dumb", HOME=str(share))
    opened.type(f"{begun}\r")
    opened.until("READY>'")  # as it is typed
    opened.until("READY>")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("re", "port"), ("engine ad", "d"), ("report --aud", "it-log"), ("engine add cont", "ainerd")],
)
def test_bash_and_zsh_complete_commands_and_options(
    session: Session, typed: str, shown: str
) -> None:
    session.type(f"runc-wrapctl {typed}\t")
    session.until(shown)


def _fish(installed: Installed, share: Path, line: str) -> list[str]:
    """Return what fish would offer at the end of a line."""
    fish = program("fish")
    path = f"{installed.ctl.parent}:{os.environ['PATH']}"
    command = f"source {share}/fish/runc-wrapctl.fish; complete -C '{line}'"
    env = environment(PATH=path, HOME=str(share))
    done = run([fish, "--no-config", "-c", command], env=env)
    return [shown.split("\t")[0] for shown in done.stdout.splitlines()]


def test_fish_completes_commands_and_options(installed: Installed, share: Path) -> None:
    assert _fish(installed, share, "runc-wrapctl re") == ["report"]
    commands = ["add", "list", "prove", "remove", "revert", "status"]
    assert _fish(installed, share, "runc-wrapctl engine ") == commands


def test_completing_needs_nothing_of_a_callers_python(installed: Installed, tmp_path: Path) -> None:
    """The entry point is isolated: a caller's module cannot take click's place."""
    (tmp_path / "click.py").write_text("raise SystemExit('not click')\n")
    typed = {"COMP_WORDS": "runc-wrapctl re", "COMP_CWORD": "1"}
    asked = {"_RUNC_WRAPCTL_COMPLETE": "bash_complete", "PYTHONPATH": str(tmp_path)}
    told = run([installed.ctl], env=environment(**typed, **asked), cwd=tmp_path)
    assert told.stdout == "plain,report\n"
