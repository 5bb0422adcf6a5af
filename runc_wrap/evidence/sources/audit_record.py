"""Parses the kernel's SECCOMP audit records, in all their forms.

The kernel writes a record's fields in one fixed order (linux:kernel/auditsc.c, audit_log_task and
audit_seccomp). They are read by place, never by searching for a name, since workloads choose comm,
exe and subj. comm and exe are "untrusted strings" (linux:kernel/audit.c,
audit_log_n_untrustedstring): quoted if every byte is in 0x21-0x7e and none is a quote, else upper
case hex. So neither can contain a space, and the last ` pid=` that fits is the kernel's own.

The text before the fields is matched from the line's beginning, so that a record inside another
program's line does not count. A user who may write to the syslog under any name can still forge one
(`logger -t kernel`), but not in audit.log or in what the kernel itself sends to the agent.

Serial numbers count records of all types, filtered ones included: a gap among SECCOMP records does
not prove a loss, so gaps are ignored.
"""

import re

from runc_wrap.evidence.sightings import AUDIT, Sighting

TYPE = 1326  # AUDIT_SECCOMP (linux:include/uapi/linux/audit.h)
LONGEST = 16 * 1024  # bytes of a line; a record's exe has at most 2 * 4096, the rest is short

_KEPT = 4096  # programs and calls whose parsed fields are kept
_KEPT_LONGEST = 512  # bytes of one of them

_UPTIME = rb"\[[^\]\n]{1,40}\](?:\[ *[TC]\d{1,10}\])? "
_KERNEL = rb"audit: type=1326 audit\("
_AUDITD = rb"(?:node=[^ \n]{1,255} )?type=(?:SECCOMP|1326|UNKNOWN\[1326\]) msg=audit\("
_HEAD = (
    rb"(?:" + _AUDITD + rb"|[0-7],\d{1,20},\d{1,20},[^;\n]{1,80};" + _KERNEL
    # dmesg, also with -r, -x or --time-format
    + rb"|(?:<[0-7]>|kern  :\w{1,8} *: )?(?:" + _UPTIME + rb"|\d{4}-[^ \n]{1,40} )?" + _KERNEL
    # syslog's traditional form, RFC 3339 and RFC 5424
    + rb"|(?:<\d{1,3}>)?(?:1 )?"
    rb"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[^ \n]{1,30}) [^ \n]{1,255} "
    rb"(?:kernel(?:: | - - - )(?:" + _UPTIME + rb")?" + _KERNEL
    + rb"|audisp[a-z-]{1,20}(?:\[\d{1,10}\])?: " + _AUDITD + rb"))"
)  # fmt: skip
_STAMP = rb"(\d{1,11}\.\d{3}):(\d{1,10})\): "
_PLAIN = rb'"[!#-~]*+"'
_HEX = rb"(?:[0-9A-F]{2})++"
_BODY = (
    rb"auid=-?\d{1,10} uid=(-?\d{1,10}) gid=-?\d{1,10} ses=-?\d{1,10}(?: subj=[^\x1d\n]*)?"
    rb" pid=(-?\d{1,10}) (comm=(?:" + _PLAIN + rb"|" + _HEX + rb")"
    rb" exe=(?:" + _PLAIN + rb"|" + _HEX + rb"|\(null\))"
    rb" sig=-?\d{1,10} arch=[0-9a-f]{1,8} syscall=-?\d{1,20}) compat=\d{1,3}"
    rb" ip=0x[0-9a-f]{1,16} code=0x([0-9a-f]{1,8})"
    # the end, or what auditd adds: after 0x1d, after rsyslog's form of it, or without a separator
    rb"(?:\s*\Z|\x1d|#035|(?=[A-Z]))"
)
_LINE = re.compile(_HEAD + _STAMP + _BODY).match
_CLAIM = re.compile(_HEAD).match
_PAYLOAD = re.compile(rb"audit\(" + _STAMP + _BODY).match
_FIELDS = re.compile(_BODY).match

# How /dev/kmsg escapes a backslash and unprintable bytes (linux:msg_add_ext_text)
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")

_kept: dict[bytes, tuple[str, str, int, int]] = {}


def parse(line: bytes) -> Sighting | None:
    """Return the SECCOMP record in one line of audit.log, kmsg, dmesg or syslog; else None.

    Bytes of comm and exe that are not UTF-8 become lone surrogates (os.fsdecode's way).
    """
    if len(line) > LONGEST:
        return None
    if line[1:2] == b",":
        line = _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), line)
    found = _LINE(line)
    return _sighting(*found.groups()) if found else None


def claims(line: bytes) -> bool:
    """Return whether a line begins like a SECCOMP record: if it does not parse, it is damaged."""
    return _CLAIM(line) is not None


def payload(text: bytes) -> Sighting | None:
    """Return the record in the text of a netlink message of type 1326: `audit(…): auid=…`."""
    found = _PAYLOAD(text) if len(text) <= LONGEST else None
    return _sighting(*found.groups()) if found else None


def fields(text: bytes, time: float, serial: int) -> Sighting | None:
    """Return the record with these fields, whose stamp came another way."""
    found = _FIELDS(text) if len(text) <= LONGEST else None
    return (
        _sighting(b"0", b"0", *found.groups())._replace(time=time, serial=serial) if found else None
    )


def _sighting(*groups: bytes) -> Sighting:
    time, serial, uid, pid, program, code = groups
    comm, exe, arch, number = _kept.get(program) or _program(program)
    stamp = float(time), int(serial)
    return Sighting(*stamp, int(pid), int(uid), comm, exe, arch, number, int(code, 16), None, AUDIT)


def _program(text: bytes) -> tuple[str, str, int, int]:
    comm, exe, _sig, arch, number = (field.partition(b"=")[2] for field in text.split(b" "))
    found = (_untrusted(comm), _untrusted(exe), int(arch, 16), int(number))
    if len(text) <= _KEPT_LONGEST:
        if len(_kept) >= _KEPT:
            _kept.clear()
        _kept[text] = found
    return found


def _untrusted(text: bytes) -> str:
    if text == b"(null)":
        return ""
    plain = text[1:-1] if text.startswith(b'"') else bytes.fromhex(text.decode("ascii"))
    return plain.decode("utf-8", "surrogateescape")
