"""Times as text: RFC 3339 as the ledger has it, durations and frequencies in words.

The whole of datetime is too large for the agent, which reads the ledger's times; it has the half
that is written in C for orjson already.
"""

import re
import time
from _datetime import datetime  # type: ignore[import-not-found]

_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII).fullmatch
_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def duration(seconds: float) -> str:
    """Return a duration in words, in its largest unit."""
    for unit, name in _UNITS:
        if seconds >= unit:
            number = int(seconds // unit)
            return f"{number} {name}" + "s" * (number != 1)
    return "less than a second"


def times(number: int) -> str:
    """Return a frequency in words: once, 12 times."""
    return "once" if number == 1 else f"{number} times"


def epoch(text: object) -> float | None:
    """Return a time of the ledger (2027-01-31T18:00:00Z) as seconds since the epoch, else None."""
    if not isinstance(text, str) or not _FORM(text):
        return None
    leap = text.endswith(":60Z")  # RFC 3339 knows leap seconds
    try:
        found: float = datetime.fromisoformat(text[:-4] + ":59Z" if leap else text).timestamp()
    except ValueError:
        return None
    return found + leap


def rfc3339(seconds: float | None) -> str | None:
    """Return seconds since the epoch in the ledger's form of times."""
    if seconds is None:
        return None
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return None
