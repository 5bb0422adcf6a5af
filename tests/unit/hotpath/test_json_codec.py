"""orjson, the modules that replace its imports, and its substitute."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from runc_wrap.hotpath import json_codec

BAD = [
    pytest.param(b"", id="empty"),
    pytest.param(b'{"a":', id="truncated"),
    pytest.param(b'{"a":"\xff"}', id="invalid UTF-8"),
    pytest.param(b'"\\ud800"', id="a lone surrogate"),
    pytest.param(b"NaN", id="NaN"),
    pytest.param(b"[Infinity]", id="Infinity"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, id="nested deeply"),
    pytest.param(b"{} {}", id="two documents"),
    pytest.param(b"{'a':1}", id="single quotes"),
]


@pytest.fixture(params=["orjson", "json"])
def loads(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[bytes], Any]:
    if request.param == "json":
        decode, encode = json_codec._standard_library()  # noqa: SLF001 - the other half of the choice
        monkeypatch.setattr(json_codec, "_decode", decode)
        monkeypatch.setattr(json_codec, "_encode", encode)
    return json_codec.loads


@pytest.mark.parametrize("text", BAD)
def test_invalid_json_is_unreadable(loads: Callable[[bytes], Any], text: bytes) -> None:
    with pytest.raises(json_codec.Unreadable) as error:
        loads(text)
    assert len(str(error.value)) < 200


def test_a_document_comes_back(loads: Callable[[bytes], Any]) -> None:
    text = '{"b":[1,-1,18446744073709551615,0.5,null,true],"a":"é\\n\\""}'.encode()
    assert json_codec.dumps(loads(text)) == text


def test_without_orjson_the_standard_library_serves() -> None:
    program = (
        "import sys; sys.modules['orjson'] = None;"
        "from runc_wrap.hotpath import json_codec as codec; print(codec.NAME, codec.loads(b'[1]'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "json [1]\n"


def test_the_stand_ins_are_gone_afterwards() -> None:
    program = (
        "import sys; from runc_wrap.hotpath import json_codec as codec; print(codec.NAME);"
        "import uuid, enum, dataclasses, json; print(uuid.uuid4, json.dumps, dataclasses.dataclass)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("orjson\n")


def test_invalid_json_is_unreadable_after_orjson_was_loaded_by_path(
    tmp_path: Path,
) -> None:
    """Its error class was once in freed memory, and a later class replaced it."""
    shutil.copytree(Path(json_codec.__file__).parents[1], tmp_path / "runc_wrap")
    shutil.copytree(Path(orjson.__file__).parent, tmp_path / "orjson")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from runc_wrap.hotpath import json_codec\n"
        "assert json_codec.NAME == 'orjson' and 'orjson' not in sys.modules\n"
        "made = [type(f'Made{n}', (), {}) for n in range(5000)]\n"
        "for _ in range(100):\n"
        "    try: json_codec.loads(b'{')\n"
        "    except json_codec.Unreadable: continue\n"
        "    raise SystemExit('it was read')\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=False, timeout=60)
    assert done.returncode == 0
