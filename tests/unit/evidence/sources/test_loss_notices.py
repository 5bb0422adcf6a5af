from __future__ import annotations

import pytest

from runc_wrap.evidence.sightings import AUDIT, LossSpan
from runc_wrap.evidence.sources import loss_notices

SUM = b"audit: audit_lost=%d audit_rate_limit=0 audit_backlog_limit=64"
FORMS = {
    "journald": b"%b",
    "kmsg": b"4,1,2,-;%b",
    "dmesg": b"[   12.5] %b",
    "syslog": b"Nov 24 17:45:41 node kernel: [   12.5] %b",
    "syslog, RFC 5424": b"<4>1 2026-11-24T17:45:41Z node kernel - - - %b",
}


def told(*lines: bytes) -> list[int]:
    notices = loss_notices.Notices()
    found = [notices.lost(line, 5.0) for line in lines]
    return [lost.records for lost in found if lost]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_kernels_sum_counts_by_what_it_grew(form: bytes) -> None:
    assert told(*(form % (SUM % total) for total in (3, 10, 10, 12))) == [3, 7, 2]


def test_a_smaller_sum_is_from_another_boot() -> None:
    assert told(SUM % 100, SUM % 4) == [100, 4]


@pytest.mark.parametrize(
    "why",
    [b"backlog limit exceeded", b"rate limit exceeded", b"printk limit exceeded",
     b"kauditd hold queue overflow"],
)  # fmt: skip
def test_a_reason_counts_once_with_the_sum_and_alone(why: bytes) -> None:
    assert told(SUM % 9, b"audit: " + why) == [9]
    assert told(b"audit: " + why) == [1]


def test_records_that_printk_suppressed_are_counted() -> None:
    line = FORMS["syslog"] % b"kauditd_printk_skb: 189 callbacks suppressed"
    assert loss_notices.Notices().lost(line, 5.0) == LossSpan(
        5.0, 189, AUDIT, loss_notices.UNPRINTED
    )


@pytest.mark.parametrize(
    "text",
    [
        b"dispatch err (pipe full) event lost",
        b"Audit daemon has no space left on logging partition",
        b"Audit daemon is suspending logging due to no space left on logging partition.",
    ],
)
def test_auditds_notice_of_dropped_records_is_read(text: bytes) -> None:
    assert told(b"Nov 24 17:45:41 node auditd[12]: " + text) == [1]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"type=SYSCALL msg=audit(1.000:1): " + SUM % 5,
        b"Nov 24 17:45:41 node app: " + SUM % 5,
        b"audit: type=1400 audit(1.000:1): " + SUM % 5,
        b"x_ratelimit: 5 callbacks suppressed",
        b"audit: " + b"x" * 20_000,
    ],
    ids=range(6),
)
def test_other_lines_report_no_loss(line: bytes) -> None:
    assert told(line) == []
