from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.audit_records import FIELDS, SECCOMP, STAMP, fields, untrusted
from runc_wrap.evidence.sightings import AUDIT, Sighting
from runc_wrap.evidence.sources import audit_record
from runc_wrap.profiles.abis import X32_BIT

FOUND = Sighting(
    *(1795542341.092, 12589, 13117, 1000, "python", "/usr/bin/python3.13"),
    *(0xC000003E, 110, 0x7FFC0000, None, AUDIT),
)
PRINTED = b"audit: type=1326 " + STAMP + fields()
WRITTEN = SECCOMP + STAMP + fields()
ENRICHMENT = b'AUID="unset" UID="root" GID="root" ARCH=x86_64 SYSCALL=unknown-syscall(-1)'
FORMS = {
    "audit.log": WRITTEN,
    "audit.log, type as a number": b"type=1326 msg=" + STAMP + fields(),
    "audit.log, unknown type": b"type=UNKNOWN[1326] msg=" + STAMP + fields(),
    "audit.log with the node's name": b"node=a.example " + WRITTEN,
    "enriched": WRITTEN + b"\x1d" + ENRICHMENT,
    "enriched, 0x1d lost": WRITTEN + ENRICHMENT,
    "enriched, 0x1d escaped by rsyslog": WRITTEN + b"#035" + ENRICHMENT,
    "CR LF": WRITTEN + b"\r\n",
    "kmsg": b"5,1805,13437534529,-;" + PRINTED,
    "kmsg with caller": b"5,1805,13437534529,-,caller=T1;" + PRINTED,
    "dmesg": b"[13437.534529] " + PRINTED,
    "dmesg with caller": b"[    1.534529][  T123] " + PRINTED,
    "dmesg -T": b"[Tue Nov 24 17:45:41 2026] " + PRINTED,
    "dmesg -x": b"kern  :notice: [13437.534529] " + PRINTED,
    "dmesg -r": b"<5>[13437.534529] " + PRINTED,
    "dmesg --time-format iso": b"2026-11-24T17:45:41,092000+00:00 " + PRINTED,
    "journald, printed": PRINTED,
    "syslog": b"Nov  4 17:45:41 node kernel: [13437.534529] " + PRINTED,
    "syslog without uptime": b"Nov 24 17:45:41 node kernel: " + PRINTED,
    "syslog, RFC 3339": b"2026-11-24T17:45:41.092+00:00 node kernel: [   1.5] " + PRINTED,
    "syslog, RFC 5424": b"<5>1 2026-11-24T17:45:41.092Z node kernel - - - " + PRINTED,
    "syslog, auditd's plugin": b"Nov 24 17:45:41 node audisp-syslog[8]: " + WRITTEN,
    "AppArmor's label": WRITTEN.replace(b" pid=", b' subj=m pid=1 comm="x" exe="y" (enforce) pid='),
    "SELinux' label": WRITTEN.replace(b" pid=", b" subj=u:r:container_t:s0:c1,c2 pid="),
    "unset ids": WRITTEN.replace(b"4294967295", b"-1"),
}


def test_a_record_says_the_same_in_every_form() -> None:
    for form, text in FORMS.items():
        assert audit_record.parse(text) == FOUND, form
        assert audit_record.claims(text), form
    assert audit_record.parse(STAMP + fields()) is None  # of netlink and the journal: without type
    assert audit_record.payload(STAMP + fields()) == FOUND
    assert audit_record.fields(fields(), 1795542341.092, 12589) == FOUND


def test_a_program_may_call_itself_anything() -> None:
    for comm, exe, *expected in (
        (b'"exe="', b'"syscall=1"', "exe=", "syscall=1"),
        (b'""', b"(null)", "", ""),
        (b"0A0009", b'"(null)"', "\n\0\t", "(null)"),
        (b"FF", b'"\\x41\\"', "\udcff", "\\x41\\"),
        (b'"DEADBEEF"', b"C3A4", "DEADBEEF", "ä"),
        (b'"a"', b'"<too_long>"', "a", "<too_long>"),
    ):
        found = audit_record.parse(SECCOMP + STAMP + FIELDS % (comm, exe))
        assert found == FOUND._replace(comm=expected[0], exe=expected[1])


def test_a_calls_number_is_the_kernels() -> None:
    for number in (110 | X32_BIT, -1, 0, 2**32 - 1):
        line = WRITTEN.replace(b"syscall=110", b"syscall=%d" % number)
        assert audit_record.parse(line) == FOUND._replace(number=number)


def test_a_text_that_is_not_the_kernels_record_is_none() -> None:
    for line in (
        b"",
        b"type=SYSCALL msg=" + STAMP + fields(),
        b"type=USER_AVC msg=" + STAMP + b"pid=1 msg='x " + WRITTEN + b"'",
        b"audit: type=1400 " + STAMP + fields(),
        b"audit: type=1107 " + STAMP + b"msg='x\n" + WRITTEN + b"\n'",
        # what is not in the kernel's name
        b"Nov 24 17:45:41 node app: kernel: " + PRINTED,
        b"Nov 24 17:45:41 node app[1]: " + PRINTED,
        b"Nov 24 17:45:41 node containerd: x kernel: [1.2] " + PRINTED,
        b"Nov 24 17:45:41 node kernel: app: " + PRINTED,
        b"12,1805,13437534529,-;" + PRINTED,
        b"5,1805,13437534529,-;x " + PRINTED,
        b"               " + PRINTED,
        b"x " + WRITTEN,
    ):
        assert audit_record.parse(line) is None, line
        assert not audit_record.claims(line), line


DAMAGED = {
    "cut off": fields()[:-8],
    "cut off before code": fields().rpartition(b" ")[0],
    "the next record on the same line": fields() + b"type=SECCOMP",
    "fields in another order": fields().replace(b" uid=1000 gid=0", b" gid=0 uid=1000"),
    "a field more": fields().replace(b" comm=", b" tid=1 comm="),
    "half a byte of hex": FIELDS % (b"ABC", b'"x"'),
    "lower case hex": FIELDS % (b"abcd", b'"x"'),
    "a space in quotes": FIELDS % (b'"a b"', b'"x"'),
    "no comm": FIELDS % (b"", b'"x"'),
    "more digits than a number has": fields().replace(b"pid=13117", b"pid=" + b"1" * 40),
    "code too long": fields() + b"0",
    "too long": FIELDS % (b'"x"', b"41" * audit_record.LONGEST),
}


def test_a_damaged_record_is_not_parsed_but_counted_as_one() -> None:
    for damage, text in DAMAGED.items():
        assert audit_record.parse(SECCOMP + STAMP + text) is None, damage
        assert audit_record.claims(SECCOMP + STAMP + text), damage


def test_a_backslash_escaped_by_kmsg_is_unescaped_and_others_stay() -> None:
    line = PRINTED.replace(b'comm="python"', b'comm="a\\x5cx41"')
    assert audit_record.parse(b"5,1,2,-;" + line) == FOUND._replace(comm="a\\x41")
    assert audit_record.parse(line) == FOUND._replace(comm="a\\x5cx41")


@given(comm=st.binary(max_size=15), exe=st.binary(min_size=1, max_size=300))
def test_whatever_a_program_calls_itself_comes_back_exactly(comm: bytes, exe: bytes) -> None:
    found = audit_record.parse(SECCOMP + STAMP + FIELDS % (untrusted(comm), untrusted(exe)))
    assert found is not None
    assert found.comm.encode("utf-8", "surrogateescape") == comm
    assert found.exe.encode("utf-8", "surrogateescape") == exe
    assert found._replace(comm="", exe="") == FOUND._replace(comm="", exe="")


@given(st.binary(), st.sampled_from([*FORMS.values(), b""]), st.integers(0, 400))
def test_no_bytes_make_it_raise(noise: bytes, form: bytes, at: int) -> None:
    for text in (noise, form[:at] + noise + form[at:], form[:at] + noise):
        audit_record.parse(text)
        audit_record.claims(text)
        audit_record.payload(text)
        audit_record.fields(text, 0.0, 0)


@given(st.text('" pid=1comexA(nul)subj\x1d', max_size=300))
def test_a_label_does_not_replace_another_field(label: str) -> None:
    text = fields().replace(b" pid=", b" subj=" + label.encode().replace(b"\x1d", b"") + b" pid=")
    assert audit_record.parse(SECCOMP + STAMP + text) == FOUND


def test_endless_different_programs_do_not_grow_the_cache() -> None:
    for number in range(10_000):
        audit_record.parse(SECCOMP + STAMP + fields(comm=b"%d" % number))
    assert 0 < len(audit_record._kept) <= audit_record._KEPT  # noqa: SLF001 - the bound is what is tested
