"""A JSON file's object, and its text again: the order of keys and the indentation stay."""

from __future__ import annotations

import json
import re
from typing import Any

from runc_wrap.engines.handler import EngineError
from runc_wrap.profiles.json_profiles.json_fields import refuse_constant, unique_members
from runc_wrap.profiles.source_profile import ProfileError

_INDENT = re.compile(r"\n([ \t]+)\"")


def parse(text: str, where: str) -> dict[str, Any]:
    """Return the object, {} of an empty text. Raises EngineError, also for a key given twice."""
    try:
        document = json.loads(
            text if text.strip() else "{}",
            object_pairs_hook=unique_members,
            parse_constant=refuse_constant,
        )
    except (ProfileError, ValueError, RecursionError) as error:
        raise EngineError(f"{where}: {error}", "valid JSON", "correct the file first") from error
    if not isinstance(document, dict):
        raise EngineError(f"{where}: not an object", "a JSON object", "correct the file first")
    return document


def printed(document: dict[str, Any], former: str, where: str) -> str:
    """Return the text of a changed object, indented as its former text was. Raises EngineError."""
    found = _INDENT.search(former)
    indent = found[1] if found else None if '"' in former else "    "
    try:
        text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:  # 1e999, or a half of a surrogate pair
        raise EngineError(f"{where}: {error}", "valid JSON", "correct the file first") from error
    return text + ("\n" if former.endswith("\n") or not former.strip() else "")
