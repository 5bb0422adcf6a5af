"""The codes that a filter returns, against the kernel's own header."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runc_wrap.profiles import return_codes

HEADER = Path("/usr/include/linux/seccomp.h")


@pytest.mark.skipif(not HEADER.exists(), reason="needs the kernel's headers (linux-libc-dev)")
def test_each_code_is_the_kernels() -> None:
    text = HEADER.read_text()
    defined = {
        name: int(value, 16)
        for name, value in re.findall(r"#define SECCOMP_RET_(\w+)\s+0x([0-9a-f]+)U", text)
    }
    renamed = {"ACTION_MASK": "ACTION_FULL", "DATA_MASK": "DATA"}
    ours = {name: value for name, value in vars(return_codes).items() if name.isupper()}
    assert ours == {name: defined[renamed.get(name, name)] for name in ours}
    assert len(ours) > 8
