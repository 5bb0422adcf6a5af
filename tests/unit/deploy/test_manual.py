"""The manual: the texts of --help, in roff that nothing complains about."""

import re
from pathlib import Path

import click
import pytest

from deploy import manual
from deploy.manual import write
from harness.host.processes import attempt, run
from harness.node.requirements import program
from runc_wrap.cli.root_command import COMMANDS, main

WHEN = 1750000000


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("share")
    write(directory, "0.2.0", WHEN)
    return directory / "man" / "man1"


def _shown(page: Path) -> str:
    """Return a page as its reader sees it, without what makes it bold, on lines of any length."""
    text = run([program("mandoc"), "-T", "utf8", "-O", "width=1000", page]).stdout
    return re.sub(".\b", "", text).replace("\u2010", "-")


def _words(text: str) -> str:
    return " ".join(text.split()).replace("- ", "-")  # as click breaks its lines


def test_each_command_has_a_page_and_so_have_all_together_and_the_runtime(pages: Path) -> None:
    names = {path.name for path in pages.iterdir()}
    assert names >= {"runc-wrapctl.1", "runc-wrap.1", "runc-wrapctl-engine-add.1"}
    assert names >= {f"runc-wrapctl-{name}.1" for name in COMMANDS}
    assert "runc-wrapctl-cluster.1" not in names


def test_a_page_says_what_the_commands_help_says(pages: Path) -> None:
    for context in manual.contexts(main):
        shown = _words(_shown(pages / f"{context.command_path.replace(' ', '-')}.1"))
        for paragraph in re.split(r"\n\s*\n", context.command.help or ""):
            assert _words(paragraph) in shown
        assert "-h, --help" in shown
        for option in context.command.params:
            if isinstance(option, click.Option):
                names, text = option.get_help_record(context) or ("", "")
                assert f"{names} {_words(text)}" in shown


def test_nothing_complains_about_a_page(pages: Path) -> None:
    for page in pages.iterdir():
        done = attempt([program("mandoc"), "-T", "lint", "-W", "warning", page])
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), page


TEXTS = [
    ".SH a request at the beginning",
    "'br likewise",
    r"a backslash \fB and \n",
    '--an-option and "quotes" and it\'s ~/.config ^C',
    "a signé — of no ASCII",
    "A sentence. .prom begins no line. Another.",
    "word " * 40 + ".d",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_shown_as_it_stands(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.1"
    page.write_text("\n".join(['.TH "A" "1" "2027-01-31"', ".SH A", manual.line(text)]) + "\n")
    assert page.read_text().isascii()
    assert _words(text) in _words(_shown(page))
