"""Obstacles that keep the kernel from logging what filters log, in words."""

import operator
import struct
from collections.abc import Callable

from runc_wrap.evidence.sources import Unavailable, audit_netlink, audit_record
from runc_wrap.host import procfs

_COMMAND_LINE = "/proc/cmdline"
_LOGGED = "/proc/sys/kernel/seccomp/actions_logged"
_LARGEST = 65536
SWITCHED_OFF = "the kernel was started with audit=0: it logs nothing"
UNREAD = "the kernel's audit rules could not be read: one may exclude SECCOMP records"
_NEEDED = {
    "log": "mode audit and candidates leave no trace",
    "errno": "mode enforce-log leaves no trace of denials",
}
# struct audit_rule_data (linux:include/uapi/linux/audit.h): its 32-bit words, and offsets in them
_FIELDS = 64
_WORDS = struct.Struct(f"={3 + 64 + 3 * _FIELDS}I")
_EXCLUDE, _PREPEND = 5, 0x10
_MESSAGE_TYPE = 12
_OPERATORS: dict[int, Callable[[int, int], bool]] = {
    0x40000000: operator.eq,
    0x30000000: operator.ne,
    0x10000000: operator.lt,
    0x20000000: operator.gt,
    0x50000000: operator.le,
    0x60000000: operator.ge,
}


def warnings() -> list[str]:
    """Return a sentence for each reason why audit records may not come; only root can find all."""
    logged = _text(_LOGGED).split()
    found = _switched_off() + [
        f"kernel.seccomp.actions_logged lacks {action}: {meaning}"
        for action, meaning in _NEEDED.items()
        if action not in logged
    ]
    rules = audit_netlink.asked(audit_netlink.AUDIT_LIST_RULES)
    if rules is None:
        found.append(UNREAD)
    return found + [excluded for _, rule in rules or () if (excluded := excludes(rule))]


def counts_what_came() -> bool:
    """Return whether the kernel's counter of lost records includes records that were sent to us.

    If the kernel was started with audit=1 and no auditd runs, it holds all records for one, and
    counts those that it has no room to hold (linux:kernel/audit.c, kauditd_hold_skb). If callers
    wait for room before, and no rate limit drops records, it counts nothing else, except for want
    of memory.
    """
    if _audit_word() not in ("1", "on"):
        return False
    words = audit_netlink.status()
    if len(words) <= audit_netlink.STATUS_WAITS:
        return False
    is_limited = words[audit_netlink.STATUS_RATE_LIMIT] or not words[audit_netlink.STATUS_WAITS]
    return not words[audit_netlink.STATUS_PID] and not is_limited


def excludes(rule: bytes) -> str:
    """Return a sentence on what an audit rule (struct audit_rule_data) excludes, "" if nothing."""
    if len(rule) < _WORDS.size:
        return ""
    words = _WORDS.unpack_from(rule)
    if words[0] & ~_PREPEND != _EXCLUDE:
        return ""
    count = min(words[2], _FIELDS)
    begins = range(67, 67 + 3 * _FIELDS, _FIELDS)
    names, values, operators = (words[at : at + count] for at in begins)
    tests = list(zip(names, values, operators, strict=True))
    types = [
        how not in _OPERATORS or _OPERATORS[how](audit_record.TYPE, value)
        for name, value, how in tests
        if name == _MESSAGE_TYPE
    ]
    if not all(types):
        return ""
    if len(types) == len(tests):
        return "an audit rule excludes SECCOMP records: none is logged (auditctl -l shows it)"
    return "an audit rule excludes some records, perhaps SECCOMP ones (auditctl -l shows it)"


def _audit_word() -> str:
    words = _text(_COMMAND_LINE).split()
    return next((word[6:] for word in reversed(words) if word.startswith("audit=")), "")


def _switched_off() -> list[str]:
    if _audit_word() in ("0", "off"):
        return [SWITCHED_OFF]
    try:
        audit_netlink.opened().close()
    except Unavailable as error:
        return [f"{error}: nothing is logged"]
    return []


def _text(path: str) -> str:
    return (procfs.read(path, _LARGEST) or b"").decode("ascii", "replace")
