"""The config.json in a bundle is read as a create reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runc_wrap.hotpath import config_file
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node.container_state import bundle_config, deep_verify

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("text", [b"{}", b'{"a": "\xc3\xa9"}', b"\xff\x00 no JSON", b" " * 70000])
def test_it_is_read_as_it_is(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.json").write_bytes(text)
    assert bundle_config.text(str(tmp_path)) == text


def test_the_largest_that_a_create_reads_is_read(tmp_path: Path) -> None:
    """Its author would otherwise keep his container unverified."""
    text = b" " * config_file.LARGEST
    (tmp_path / "config.json").write_bytes(text)
    assert bundle_config.text(str(tmp_path)) == text


def test_what_is_not_there_is_refused_as_ever(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r'config\.json" cannot be read: it does not exist'):
        bundle_config.text(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"linux": {"seccomp": {"x": 1}}}))
    assert deep_verify.block_of(str(tmp_path)) == {"x": 1}
