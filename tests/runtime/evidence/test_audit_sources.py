"""Every source of audit records on the real thing: this kernel, auditd, journald."""

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path

import pytest

from harness.host.processes import Daemon, run, wait_until
from harness.kernel import kernel_log
from harness.kernel.audit_records import FIELDS, provoke
from harness.node.requirements import program, requires, unmet
from runc_wrap.evidence.sightings import LossSpan, Sighting
from runc_wrap.evidence.sources import (
    audit_netlink,
    audit_obstacles,
    audit_record,
    journald,
    kmsg,
    log_files,
    merged_sources,
)
from runc_wrap.host.progress_meter import Meter

NAMES = (b"plain", b'a" b', b"exe=syscall=1", b"a\\x41", b"\x1b[31m<b>", b"\xff\x01", b"\xc3\xa4")
COMMS = [name.decode("utf-8", "surrogateescape") for name in NAMES]
Found = list[Sighting | LossSpan]

_STATUS_PID = 3  # the place of auditd's pid among struct audit_status' 32-bit words
_USER_AVC = 1107  # may be sent while audit is not enabled
_FORGED = (
    b"x\ntype=SECCOMP msg=audit(1700000000.000:1): %(fields)b"
    b"\naudit: type=1326 audit(1700000000.000:1): %(fields)b\n"
) % {b"fields": FIELDS % (b'"forged"', b'"/f"')}


@pytest.fixture(autouse=True)
def needs() -> None:
    requires("/dev/kmsg", root=True)
    for reason in audit_obstacles.warnings():
        unmet(reason)


@pytest.fixture
def live() -> Iterator[audit_netlink.Live]:
    with closing(audit_netlink.Live()) as source:
        yield source


def by(pid: int, found: Iterator[Sighting | LossSpan] | Found) -> list[Sighting]:
    return [item for item in found if isinstance(item, Sighting) and item.pid == pid]


def heard(live: audit_netlink.Live, pid: int) -> list[Sighting]:
    """Return the kernel's records of a process until there is one for each name."""
    found: list[Sighting] = []
    deadline = time.monotonic() + 20
    while len(found) < len(NAMES) and time.monotonic() < deadline:
        select.select([live], [], [], 0.2)
        found += by(pid, live.read())
    return found


def test_the_kernel_sends_each_record_at_once(live: audit_netlink.Live) -> None:
    begin = time.time()
    found = heard(live, provoke(*NAMES))
    assert [item.comm for item in found] == COMMS
    assert all(begin - 1 < item.time < time.time() + 1 for item in found)
    assert {item.code for item in found} == {0x7FFC0000}
    assert {item.exe for item in found} == {str(Path(sys.executable).resolve())}


def test_a_reader_that_is_too_slow_learns_of_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_netlink, "_RECEIVE", 4096)
    slow = audit_netlink.Live()
    pid = provoke(*[b"flood"] * 200)
    kernel_log.settle()
    found = slow.read()
    slow.close()
    assert 0 < len(by(pid, found)) < 200
    assert [item for item in found if isinstance(item, LossSpan)]


def _settle_after(makers: list[Future[int]]) -> None:
    wait(makers)
    kernel_log.settle()


def test_none_of_many_records_is_missing_unreported(live: audit_netlink.Live) -> None:
    """Four programs at once, 5,000 records each, faster than a container's usual rate."""
    before = audit_netlink.kernel_lost()
    found: Found = []
    with ThreadPoolExecutor(5) as pool:
        makers = [pool.submit(provoke, *[b"flood"] * 5000) for _ in range(4)]
        settling = pool.submit(_settle_after, makers)
        while not settling.done() or select.select([live], [], [], 0)[0]:
            select.select([live], [], [], 0.1)
            found += live.read()
    got = sum(len(by(maker.result(), found)) for maker in makers)
    said = [item for item in found if isinstance(item, LossSpan)]
    assert got == 20_000 or said or audit_netlink.kernel_lost() != before
    assert got > 10_000


def test_the_kernels_count_of_lost_records_is_read() -> None:
    told = dict(line.split()[:2] for line in run([program("auditctl"), "-s"]).stdout.splitlines())
    assert audit_netlink.kernel_lost() == int(told["lost"])


def test_a_rule_that_excludes_records_is_read_from_the_kernel() -> None:
    rule = ["exclude,always", "-F", "msgtype=SECCOMP", "-F", "uid=54321"]
    before = audit_obstacles.warnings()
    run([program("auditctl"), "-a", *rule])
    try:
        during = audit_obstacles.warnings()
    finally:
        run([program("auditctl"), "-d", *rule])
    assert before == audit_obstacles.warnings() == []
    assert [text for text in during if "excludes some records" in text]


def printed(read: Callable[[], Found]) -> list[Sighting]:
    """Return the printed records of a process; repeat if others used up printk's rate."""
    found: list[Sighting] = []
    deadline = time.monotonic() + 60
    while len(found) < 2 and time.monotonic() < deadline:
        time.sleep(5.5)  # printk's interval
        begun = time.time() - 1  # another process may have had the pid
        pid = provoke(*NAMES[1:3])
        time.sleep(0.5)
        found = [one for one in by(pid, read()) if one.time > begun]
    return found


@pytest.fixture(scope="module")
def ours() -> list[Sighting]:
    """Records of one process of ours that the kernel printed; what others left there is not.

    The kernel's log has them without auditd.
    """
    found = printed(lambda: [*kmsg.read()])
    assert [item.comm for item in found] == COMMS[1:3]
    return found


@pytest.mark.parametrize("option", ["--raw", "--ctime", "--decode", "--time-format=iso"])
def test_dmesg_prints_the_same_records(option: str, ours: list[Sighting]) -> None:
    lines = subprocess.run(["dmesg", option], capture_output=True, check=True).stdout.split(b"\n")
    found = {item for line in lines if (item := audit_record.parse(line))}
    assert set(ours) <= found


def audit_user(text: bytes) -> None:
    """Send a program's own audit message, as any with CAP_AUDIT_WRITE may."""
    header = struct.pack("=IHHII", 16 + len(text) + 1, _USER_AVC, 1, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as sender:
        sender.sendto(header + text + b"\0", (0, 0))


_AUDITD = """\
local_events = yes
write_logs = yes
log_file = {log}
log_format = {form}
flush = NONE
num_logs = 5
max_log_file = 8
max_log_file_action = ROTATE
name_format = NONE
space_left = 2
admin_space_left = 1
space_left_action = IGNORE
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
"""


@pytest.fixture(params=["RAW", "ENRICHED"])
def audit_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The log of our own auditd, in the foreground."""
    daemon = program("auditd")
    if (other := auditd_pid()) != 0:
        unmet(f"an auditd runs already, pid {other}")
    log = tmp_path / "audit.log"
    (tmp_path / "plugins.d").mkdir(mode=0o750)
    (tmp_path / "auditd.conf").write_text(_AUDITD.format(log=log, form=request.param))
    tmp_path.chmod(0o750)
    argv = [daemon, "-n", "-c", str(tmp_path), "-s", "nochange"]
    with Daemon(argv, tmp_path / "output"):
        # auditd discards what arrives while it starts.
        wait_until(lambda: by(provoke(b"early"), written(log)) != [], "auditd to write")
        yield log


def written(log: Path) -> Found:
    """Return what auditd has written by now, having given it a moment."""
    time.sleep(0.2)
    return [*from_log(log)] if log.exists() else []


def from_log(log: Path) -> Iterator[Sighting | LossSpan]:
    return log_files.read(log, 0, Meter())


def auditd_pid() -> int:
    (_, status), *_ = audit_netlink.asked(audit_netlink.AUDIT_GET) or [(0, bytes(16))]
    pid: int = struct.unpack_from("=I", status, 4 * _STATUS_PID)[0]
    return pid


def test_the_same_record_from_auditd_and_the_kernel_counts_once(
    audit_log: Path, live: audit_netlink.Live
) -> None:
    pid = provoke(*NAMES)
    sent = heard(live, pid)
    wait_until(lambda: len(by(pid, from_log(audit_log))) == len(NAMES), "auditd to write")
    assert [item.comm for item in sent] == COMMS
    assert by(pid, from_log(audit_log)) == sent
    assert by(pid, merged_sources.gather([from_log(audit_log), from_log(audit_log)], 0, [])) == sent


def test_a_real_rotation_hides_nothing(audit_log: Path) -> None:
    first = provoke(b"before")
    wait_until(lambda: bool(by(first, from_log(audit_log))), "auditd to write")
    daemon = auditd_pid()
    assert daemon
    os.kill(daemon, signal.SIGUSR1)
    wait_until(audit_log.with_name("audit.log.1").exists, "auditd to rotate")
    second = provoke(b"after")
    wait_until(lambda: bool(by(second, from_log(audit_log))), "auditd to write")
    found = list(from_log(audit_log))
    assert [item.comm for item in [*by(first, found), *by(second, found)]] == ["before", "after"]


def test_no_programs_message_becomes_a_record(audit_log: Path, live: audit_netlink.Live) -> None:
    audit_user(_FORGED)
    pid = provoke(*NAMES)
    heard(live, pid)
    wait_until(lambda: len(by(pid, from_log(audit_log))) == len(NAMES), "auditd to write")
    assert b"forged" in audit_log.read_bytes(), "else nothing is shown"
    assert by(13117, from_log(audit_log)) == []


_JOURNALD = """
set -e
mount -t tmpfs none /run
mkdir -p /run/log/journal /run/systemd/journal /run/systemd/journald.conf.d
mount --bind "$1" /run/log/journal
printf '[Journal]\\nStorage=volatile\\nAudit=\\nReadKMsg=yes\\n' \\
    > /run/systemd/journald.conf.d/a.conf
[ -s /etc/machine-id ] || { echo 0123456789abcdef0123456789abcdef > /run/id; \
mount --bind /run/id /etc/machine-id; }
exec "$2"
"""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Path]:
    """The directory of our own journald, which uses no other's sockets."""
    daemon = "/usr/lib/systemd/systemd-journald"
    requires(daemon, "journalctl", "unshare")
    directory = tmp_path / "journal"
    directory.mkdir()
    argv = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", _JOURNALD, "sh"]
    with Daemon([*argv, directory, daemon], tmp_path / "output"):
        wait_until(lambda: any(directory.glob("*/*.journal")), "journald to begin")
        yield directory


def test_a_record_that_the_kernel_sent_and_printed_is_read_once_from_the_journal(
    journal: Path, live: audit_netlink.Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit_user(_FORGED)
    since = time.time() - 1
    pid = provoke(*NAMES)
    sent = heard(live, pid)
    monkeypatch.setattr(journald, "_WORDS", [f"--directory={journal}", *journald._WORDS])  # noqa: SLF001 - what the node has no choice of
    wait_until(lambda: len(set(by(pid, journald.read(since)))) == len(NAMES), "journald")
    assert [item.comm for item in sent] == COMMS
    assert by(pid, merged_sources.gather([journald.read(since)], since, [])) == sent
    assert by(13117, journald.read(0)) == []
