"""version: of runc-wrap, its parts, and what it works with."""

import os
import platform
import sys
from importlib import metadata

import pytest

from tests.unit.cli.ctl import Node
from tests.unit.node import machine


def test_it_names_the_release_its_parts_and_the_machine(node: Node) -> None:
    found = node.json("version")
    assert found["release"] == metadata.version("runc-wrap")
    assert found["prefix"] == str(node.places.prefix)
    assert found["directory"] == str(node.places.prefix / "lib" / "releases" / "1")
    assert found["packages"]["orjson"] == metadata.version("orjson")
    python = {"version": platform.python_version(), "path": sys.executable, "own": False}
    assert found["python"] == python
    uname = os.uname()
    assert (found["kernel"], found["machine"]) == (uname.release, uname.machine)


def test_it_names_the_runtimes_and_the_one_in_force_first(node: Node) -> None:
    crun = machine.fake(node.programs, "crun", "echo crun version 1.21")
    runc = machine.fake(node.programs, "runc", "echo runc version 1.2.4; echo libseccomp: 2.5.5")
    node.apply('runtime = ["crun"]\n')
    first, second = node.json("version")["runtimes"]
    assert (first["path"], first["version"], first["in_force"]) == (str(crun), "1.21", True)
    shown = {"path": str(runc), "kind": "runc", "version": "1.2.4", "libseccomp": "2.5.5"}
    assert second == {**shown, "in_force": False}


LAUNCHERS = [("\x7fELF", "compiled"), ("#!/bin/sh\n", None), ("", None)]


@pytest.mark.parametrize(("content", "kind"), LAUNCHERS)
def test_it_says_which_launcher_is_installed(node: Node, content: str, kind: str | None) -> None:
    assert node.json("version")["launcher"] == {"path": str(node.places.wrapper), "kind": None}
    node.places.wrapper.parent.mkdir(parents=True)
    node.places.wrapper.write_text(content)
    assert node.json("version")["launcher"]["kind"] == kind


def test_the_text_is_a_line_for_each_and_escapes_what_runtimes_print(node: Node) -> None:
    machine.fake(node.programs, "runc", r"printf 'runc version 1.2.4\033[31m\n'")
    lines = node.ctl("version").stdout.splitlines()
    assert lines[0].split()[:2] == ["runc-wrap", metadata.version("runc-wrap")]
    assert rf"runtime     runc 1.2.4\x1b[31m ({node.programs / 'runc'})" in lines
