"""A Python model of how the launcher parses an agent's answer and the caller's arguments.

Written from the protocol and from the design, not from the C.
"""

import re

_NUMBER = re.compile(rb"(?:0|[1-9][0-9]*)\Z")
_GO = re.compile(rb"runc-wrap/1\0go\0(/[^\0]*)\0([0-9]+)\0([0-9]+)\0\Z")
_RENAME = re.compile(
    rb"runc-wrap/1\0rename\0(/[^\0]*)\0([0-9]+)\0([0-9]+)\0(/[^\0]*)\0(/[^\0]*)\0([0-9]+)\0\Z"
)
_EDITED = {b"create", b"run", b"restore"}
_OTHERS = set(
    b"checkpoint delete events exec features help kill list mounts pause ps resume spec start "
    b"state update".split()
)
# Global flags of runc or crun that stand alone, with one dash or two.
_ALONE = re.compile(rb"--?(?:debug|systemd-cgroup|version|v|V|help|h|usage|HANG|\?)\Z")
# Global flags of runc or crun that take a value, which is the next word unless "=" is there.
_VALUED = re.compile(
    rb"--?(log|log-format|log-level|root|rootless|criu|cgroup-manager|program-name)(?:=(.*))?\Z",
    re.DOTALL,
)


def answer(message: bytes) -> str:
    """Return the line that the harness prints for a message of the agent."""
    for verdict, form in (("go", _GO), ("rename", _RENAME)):
        if found := form.match(message):
            groups = found.groups()
            numbers = [each for each in groups if not each.startswith(b"/")]
            if all(_NUMBER.match(each) and int(each) < 1 << 64 for each in numbers):
                shown = (e.hex() if e.startswith(b"/") else e.decode() for e in groups)
                return " ".join((verdict, *shown))
    return "cold"


def words(given: list[bytes]) -> str:
    """Return the line that the harness prints for the caller's arguments."""
    command = _command(given)
    path, form = _log(given)
    if path is None or path.startswith((b"journald:", b"syslog:")):
        return command
    return f"{command} {form} {path.removeprefix(b'file:').hex()}"


def _command(given: list[bytes]) -> str:
    before = b""
    for word in given:
        if word in _EDITED:
            return "create"
        takes_word = before.startswith(b"-") and b"=" not in before and not _ALONE.match(before)
        if word in _OTHERS and not takes_word:
            return word.decode()
        before = word
    return "other"


def _log(given: list[bytes]) -> tuple[bytes | None, str]:
    """The values of --log and --log-format before the command, which is no flag's value."""
    values: dict[bytes, bytes] = {}
    rest = iter(given)
    for word in rest:
        if word in _EDITED:
            break
        if flag := _VALUED.match(word):
            value = flag[2] if flag[2] is not None else next(rest, None)
            if value is not None:
                values[flag[1]] = value
    return values.get(b"log"), "json" if values.get(b"log-format") == b"json" else "text"
