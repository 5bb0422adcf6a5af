"""Reading config.toml and conf.d, and the lines of their keys."""

import os
import re
from pathlib import Path

import pytest

from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.settings import settings_reader, toml_lines
from runc_wrap.policy.settings.settings_reader import Values


def _read(tmp_path: Path, **files: str | bytes) -> Values:
    (tmp_path / "conf.d").mkdir(exist_ok=True)
    for name, text in files.items():
        folder = tmp_path if name == "config" else tmp_path / "conf.d"
        data = text if isinstance(text, bytes) else text.encode()
        (folder / f"{name}.toml").write_bytes(data)
    return settings_reader.read(tmp_path)


def test_a_file_of_the_cluster_is_read_in_place_of_the_nodes_of_its_name(tmp_path: Path) -> None:
    for name, text in {
        "etc/config.toml": 'on_error = "run-unmodified"\n[default]\nmode = "off"',
        "etc/conf.d/0-mode.toml": '[default]\nmode = "off"',
        "etc/conf.d/90-node.toml": '[default]\nabis = "native"\nprofile = "crio"',
        "sent/config.toml": '[default]\nabis = "kernel"',
        "sent/conf.d/0-mode.toml": '[default]\nmode = "audit"\nprofile = "moby"',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = settings_reader.read(tmp_path / "etc", tmp_path / "sent")
    read = [found[f"default.{name}"] for name in ("mode", "abis", "profile")]
    assert (found["on_error"], *read) == ("refuse", "audit", "native", "crio")
    assert found.place("default.mode") == f"{tmp_path}/sent/conf.d/0-mode.toml:2: "


def test_all_problems_of_all_files_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as told:
        _read(tmp_path, config="on_error = 1\n", a='[defualt]\nprofile = "x"\n', b="[default]\nx=1")
    lines = str(told.value).splitlines()
    named = [line.split(": ")[1].split(" is ")[0] for line in lines]
    assert named == ["on_error", "defualt", "default.x"]
    assert "default.profile" in lines[1]


BROKEN = [
    ("x = ", "Invalid value"),
    ("on_error = 'refuse'\non_error = 'refuse'\n", "Cannot overwrite"),
    (b"\xff\xfe", "utf-8"),
    ("a = " + "[" * 100_000, "nested too deeply"),
    ("a = " + "9" * 5000, "integer string conversion"),
    ("on_error = 0x" + "f" * 5000, "on_error is a huge number"),
    ("#" * 1024 * 1024 + "\n", "larger than 1048576 bytes"),
    ("default = 'moby'\n", "default is not a setting (did you mean default."),
    ("[defualt]\nmode = 'audit'\n", "defualt is not a setting (did you mean default?); "),
    ("[default]\nmdoe = 1\n", "default.mdoe is not a setting (did you mean default.mode?); there"),
    ("[[rules]]\n", "rules is not a setting (did you mean rule?); "),
    ("[default.profile]\nx = 1\n", "default.profile is {'x': 1}"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN)
def test_a_broken_file_and_its_fault_are_told(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as told:
        _read(tmp_path, a=text)
    assert re.match(rf"{tmp_path}/conf\.d/a\.toml(:\d+)?: ", str(told.value))
    assert said in str(told.value)


def test_a_fifo_a_directory_and_a_dangling_link_are_reported_at_once(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.symlink_to("nowhere")
    with pytest.raises(PolicyError, match=r"config\.toml: cannot be read: No such file"):
        _read(tmp_path)
    config.unlink()
    os.mkfifo(config)
    with pytest.raises(PolicyError, match=r"config\.toml: not a regular file"):
        _read(tmp_path)
    config.unlink()
    (tmp_path / "conf.d/x.toml").mkdir()
    with pytest.raises(PolicyError, match=r"x\.toml: not a regular file"):
        _read(tmp_path)


DOCUMENT = '''\
# [no.table]
runtime = [  # a list
  "x = [", # with ]
  "runc",
]
text = """
on_error = "not here"
[[rule]]
"""
other = \'\'\'
[default]\'\'\'
on_error = "refuse"
default.mode = "audit"
[default]
"abis"   =   "native"
[[rule]] # one
name = "a # b"
[[rule]]

image = ["[[rule]]", \'\'\'x\'\'\',
  "y"]
mode = "off"
[overlay]
inline = { deny = ["a"], more = { x = 1 } }
deny = []
'''


LINES = [
    (("runtime",), 2),
    (("text",), 6),
    (("other",), 10),
    (("on_error",), 12),
    (("default", "mode"), 13),
    (("default", "abis"), 15),
    (("rule", 0), 16),
    (("rule", 0, "name"), 17),
    (("rule", 1), 18),
    (("rule", 1, "image"), 20),
    (("rule", 1, "mode"), 22),
    (("rule", 1, "none"), 18),
    (("overlay", "inline", "deny"), 24),
    (("overlay", "deny"), 25),
    (("nothing",), 1),
]


@pytest.mark.parametrize(("path", "number"), LINES)
def test_each_key_has_its_line_number(path: toml_lines.Key, number: int) -> None:
    for text in (DOCUMENT, DOCUMENT.replace("\n", "\r\n")):
        assert toml_lines.line(toml_lines.of(text), path) == number
