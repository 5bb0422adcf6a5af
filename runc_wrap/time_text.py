"""Times as text: RFC 3339 as the ledger has it, durations and frequencies in words.

The calendar modules are too large for the agent, which reads the ledger's times.
"""

from __future__ import annotations

import time

_FORM = "0000-00-00T00:00:00Z"
_MONTHS = 12
_MARCH = 3  # years are counted from March, so that the leap day comes last
_DAYS_TO_1970 = 719468
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
    if not isinstance(text, str) or len(text) != len(_FORM) or not text.isascii():
        return None
    if any(a != b and not (a == "0" and b.isdigit()) for a, b in zip(_FORM, text, strict=True)):
        return None
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
    if not (0 < month <= _MONTHS and 0 < day <= _month_days(year, month)):
        return None
    if hour > 23 or minute > 59 or second > 60:  # noqa: PLR2004 - 60: RFC 3339 knows leap seconds
        return None
    return float(_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second)


def _month_days(year: int, month: int) -> int:
    after = (year + month // _MONTHS, month % _MONTHS + 1)
    return _days(*after, 1) - _days(year, month, 1)


def _days(year: int, month: int, day: int) -> int:
    """Return days since 1970."""
    before = year - (month < _MARCH)
    months = (month - _MARCH) % 12
    leaps = before // 4 - before // 100 + before // 400
    return 365 * before + leaps + (153 * months + 2) // 5 + day - 1 - _DAYS_TO_1970


def rfc3339(seconds: float | None) -> str | None:
    """Return seconds since the epoch in the ledger's form of times."""
    if seconds is None:
        return None
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return None
