import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.audit_records import FIELDS, SECCOMP, STAMP, fields, line
from runc_wrap.evidence.sightings import AUDIT, LossSpan, Sighting
from runc_wrap.evidence.sources import audit_record
from runc_wrap.evidence.sources.line_stream import UNPRINTED, Lines, Notices
from tests.unit.evidence.samples import serials

PREFIX = b"Nov 24 17:45:41 node kernel: [1.5] "
FORGED = PREFIX + b"audit: type=1326 " + STAMP + fields()
REAL = FORGED.replace(b"12589", b"12600")
SUM = b"audit: audit_lost=%d audit_rate_limit=0 audit_backlog_limit=64"


def lost(found: list[Sighting | LossSpan]) -> int:
    return sum(item.records for item in found if isinstance(item, LossSpan))


@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_lines_are_complete_however_the_bytes_are_split(cuts: list[int]) -> None:
    text = b"".join(line(number) + b"\n" for number in range(5))
    lines, found, at = Lines("x"), [], 0
    for size in [*cuts, len(text)]:
        found += lines.feed(text[at : at + size])
        at += size
    assert serials(found) == [0, 1, 2, 3, 4]
    assert lost(found + lines.settle(0)) == 0
    late = Lines("x").feed(line(9000) + b"\n" + line(1) + b"\n")
    assert serials(late) == [9000, 1]  # in whatever order they are printed


@pytest.mark.parametrize("told", [SUM % 3 + b"\n", (SECCOMP + STAMP + b"auid=what\n") * 3])
def test_a_loss_lasts_from_the_record_before_it_to_the_one_after(told: bytes) -> None:
    for before, after in ((True, True), (True, False), (False, True)):
        lines = Lines("a file")
        found = lines.feed((line(1) + b"\n" if before else b"") + told)
        found += lines.feed(b"type=SYSCALL msg=x\n" + (line(9000) + b"\n" if after else b""))
        found += lines.settle(2e9)
        (one,) = [item for item in found if isinstance(item, LossSpan)]
        assert (one.records, one.begin) == (3, found[0].time if before else 0.0)
        assert one.time == (found[-1].time if after else 2e9)
        assert lines.settle(3e9) == []


def test_the_number_of_pending_reasons_of_losses_is_bounded() -> None:
    lines = Lines("a file")
    lines.feed(b"".join(SUM % number + b"\n" for number in range(1, 300)))
    held = lines.settle(5.0)
    assert (len(held), lost(held)) == (65, 299)


@pytest.mark.parametrize("chunk", [100, 7_000, 10_000_000])
def test_an_endless_line_is_skipped_and_takes_no_memory(chunk: int) -> None:
    endless = SECCOMP + STAMP + FIELDS % (b'"a"', b"41" * 500_000) + FORGED
    text = line(1) + b"\n" + endless + b"\n" + line(2) + b"\n"
    lines, found = Lines("x"), []
    for at in range(0, len(text), chunk):
        found += lines.feed(text[at : at + chunk])
        assert len(lines._lines._begun) <= audit_record.LONGEST + 1  # noqa: SLF001 - the bound
    assert serials(found) == [1, 2]
    assert lost(found) == 1


def test_a_users_newlines_forge_no_record_in_a_syslog() -> None:
    """Written as rsyslog does from /proc/kmsg: each line of one message has the kernel's name."""
    message = [PREFIX + b"audit: type=1107 audit(1795542341.092:9): pid=1 uid=0 msg='x", FORGED]
    found = Lines("x").feed(b"".join(text + b"\n" for text in [*message, PREFIX + b"'", REAL]))
    assert serials(Lines("x").feed(FORGED + b"\n")) == [12589], "else nothing is shown"
    assert serials(found) == [12600]
    assert lost(found) == 1


def test_a_users_truncated_message_hides_at_most_eight_lines() -> None:
    cut = PREFIX + b"audit: type=1107 audit(1795542341.092:9): pid=1 uid=0 msg='x\n"
    found = Lines("x").feed(cut + (REAL + b"\n") * 20)
    assert (len(serials(found)), lost(found)) == (12, 8)


def notified(*lines: bytes) -> list[int]:
    notices = Notices()
    found = [notices.lost(line, 5.0) for line in lines]
    return [lost.records for lost in found if lost]


def test_the_kernels_sum_counts_by_what_it_grew_and_a_smaller_one_is_of_another_boot() -> None:
    for form in (
        b"%b",
        b"4,1,2,-;%b",  # kmsg
        b"[   12.5] %b",  # dmesg
        b"Nov 24 17:45:41 node kernel: [   12.5] %b",  # syslog
        b"<4>1 2026-11-24T17:45:41Z node kernel - - - %b",  # RFC 5424
    ):
        sums = (form % (SUM % total) for total in (3, 10, 10, 12, 4))
        assert notified(*sums) == [3, 7, 2, 4], form
        suppressed = form % b"kauditd_printk_skb: 189 callbacks suppressed"
        assert Notices().lost(suppressed, 5.0) == LossSpan(5.0, 189, AUDIT, UNPRINTED)


def test_a_reason_counts_once_with_the_sum_and_alone() -> None:
    for why in (b"backlog", b"rate", b"printk"):
        assert notified(SUM % 9, b"audit: " + why + b" limit exceeded") == [9]
        assert notified(b"audit: " + why + b" limit exceeded") == [1]
    assert notified(b"audit: kauditd hold queue overflow") == [1]
    for text in (
        b"dispatch err (pipe full) event lost",
        b"Audit daemon has no space left on logging partition",
        b"Audit daemon is suspending logging due to no space left on logging partition.",
    ):
        assert notified(b"Nov 24 17:45:41 node auditd[12]: " + text) == [1]


def test_other_lines_report_no_loss() -> None:
    for text in (
        b"",
        b"type=SYSCALL msg=audit(1.000:1): " + SUM % 5,
        b"Nov 24 17:45:41 node app: " + SUM % 5,
        b"audit: type=1400 audit(1.000:1): " + SUM % 5,
        b"x_ratelimit: 5 callbacks suppressed",
        b"audit: " + b"x" * 20_000,
    ):
        assert notified(text) == []
