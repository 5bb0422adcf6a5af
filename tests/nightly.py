"""What came of each nightly target, and when: tests/nightly.toml.

    python3 -m tests.nightly TARGET COMMAND...    runs it; writes target, commit, result
    python3 -m tests.nightly --list TARGET...     shows them all
    python3 -m tests.nightly --old TARGET...      those that nobody ran for ten days, or never

Standard library only: it runs before any virtual environment is made.
"""

import datetime as dt
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

RECORD = Path(__file__).with_suffix(".toml")
DAYS = 10
_HEAD = (
    "# Written by `make nightly-TARGET`: commit it. A + after the commit: files differed from it.\n"
)


def load() -> dict[str, dict[str, object]]:
    """Return {target: what came of it last}."""
    return tomllib.loads(RECORD.read_text()) if RECORD.exists() else {}


def save(found: dict[str, dict[str, object]]) -> None:
    """Write them."""
    tables = [
        f'[{target}]\ndate = {one["date"]}\ncommit = "{one["commit"]}"\n'
        f'result = "{one["result"]}"\nminutes = {one["minutes"]}\n'
        for target, one in sorted(found.items())
    ]
    RECORD.write_text("\n".join([_HEAD, *tables]))


def shown(target: str, one: dict[str, object] | None) -> str:
    """Return one line about a target."""
    if one is None:
        return f"{target}: never run"
    words = f"{one['date']} at {one['commit']}, {one['minutes']} min"
    return f"{target}: {one['result']}, {words}"


def is_old(one: dict[str, object] | None, today: dt.date) -> bool:
    """Return whether a target was not run lately, or did not pass."""
    if one is None or one["result"] != "passed":
        return True
    return not isinstance(one["date"], dt.date) or (today - one["date"]).days > DAYS


def _run(target: str, command: list[str]) -> int:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    begun = time.monotonic()
    environment = {**os.environ, "RUNC_WRAP_REQUIRE_ALL": "1"}  # what is skipped has not passed
    status = subprocess.run(command, env=environment, check=False).returncode
    found = load()
    found[target] = {
        "date": dt.datetime.now(dt.UTC).date(),
        "commit": commit or "unknown",
        "result": "failed" if status else "passed",
        "minutes": round((time.monotonic() - begun) / 60, 1),
    }
    save(found)
    return status


def main(words: list[str]) -> int:
    """Run the program; return the exit status."""
    if words[0] not in ("--list", "--old"):
        return _run(words[0], words[1:])
    found, today = load(), dt.datetime.now(dt.UTC).date()
    for target in words[1:]:
        if words[0] == "--list" or is_old(found.get(target), today):
            sys.stdout.write(f"{shown(target, found.get(target))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
