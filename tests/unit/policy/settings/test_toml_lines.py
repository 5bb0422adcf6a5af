"""Finding the line of a key in a TOML document."""

from __future__ import annotations

import pytest

from runc_wrap.policy.settings import toml_lines

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


@pytest.mark.parametrize(
    ("path", "number"),
    [
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
    ],
)
def test_each_key_has_its_line_number(path: toml_lines.Key, number: int) -> None:
    for text in (DOCUMENT, DOCUMENT.replace("\n", "\r\n")):
        assert toml_lines.line(toml_lines.of(text), path) == number
