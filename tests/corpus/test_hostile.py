"""Program names that try to escape from a record's fields, a terminal, the page.

A container program gives itself such names and runs itself from files with such names. Each case
makes a different call, so that a confused record is noticed.
"""

import functools
import json
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.host.processes import Daemon, wait_until
from harness.kernel import kernel_log, process_status
from harness.shown import terminal
from runc_wrap.profiles import syscall_names
from tests.corpus.nodes import AUDIT, OBSERVE, Node, Program, named

Json = dict[str, Any]
MODES = (AUDIT, OBSERVE)
TIMES = 3
DIRECTORY = "/tmp"  # the container's own
HOSTILE, QUIET = "hostile", "quiet"


class Case(NamedTuple):
    """The call, the name under which it is made, and the program's file."""

    call: str
    comm: bytes
    file: bytes
    deleted: bool = False

    @property
    def word(self) -> str:
        """The case as harness/programs/hostile.c takes it."""
        number = syscall_names.numbers(syscall_names.native())[self.call]
        return f"{number}:{self.comm.hex()}:{self.file.hex()}:{self.deleted:d}"

    @property
    def exe(self) -> str:
        """The kernel's name of the program, as text for JSON."""
        path = f"{DIRECTORY}/".encode() + self.file + b" (deleted)" * self.deleted
        return path.decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace").decode()


CASES = (
    Case("unshare", b"\x1b[2J\x1b[1;1H", b"newline\nDENIED  shop  mount: EPERM"),
    Case("mount", b"<b>x</b>", b"\x1b]0;title\x07\x1b[2J\x1b[31mred"),
    Case("keyctl", b'" exe="/x" sy', b"<script>alert(1)<%2fscript><img src=x>"),
    Case("add_key", b"syscall=1 x", b'x" sig=0 arch=c000003e syscall=41 code=0x7ffc0000'),
    Case("request_key", b"a\nb", b"\"double\" 'single' `back` $(touch x)"),
    Case("bpf", bytes(range(1, 16)), b"two words, 3 times by true"),
    Case("perf_event_open", b"\xff\xfe\x80ok\xc3", b"\xff\xfe no UTF-8 \xed\xa0\x80 \x9b2J"),
    Case("userfaultfd", "\u202eevil\u2066".encode(), "gpj.\u202eexe.\u2066good\u2069".encode()),
    Case("setns", b"(deleted)", b"there (deleted)"),
    Case("syslog", b"(deleted)", b"gone", deleted=True),
    Case("umount2", b"a) S 1 1 (b", b"n" * 255),
    Case("swapon", b"\\n\\\\\\012", b"\xff" * 255),
    Case("swapoff", b"Tgid:\t1\nUid:\t7", b"[red]x[bold]"),
    Case("kcmp", b"{{ 7 * 7 }}", b"{{ 7 * 7 }}{% raw %}&lt;&#60;"),
    Case("fanotify_init", b"\x7f\xc2\x9b2J", "\u2028\u2029\u0085\u200b\ufeff".encode()),
    Case("pidfd_getfd", b"\r\x08\x08\x08", b"\r safe\x08\x7f\t."),
    Case("move_pages", b"0,1,2;audit: t", b"type=SECCOMP msg=audit(1.000:1): auid=0"),
)
EXPECTED = {("x86_64", case.call): case for case in CASES}


@dataclass
class Happened:
    """All cases run on a node, in both modes, under `watch`."""

    node: Node
    told: kernel_log.Told
    auids: dict[str, int]
    watched: dict[str, bytes]  # what `watch` printed, "text" and "json"
    report: dict[tuple[str, str], Json]


@pytest.fixture(scope="module", params=["crun", "runc"])
def happened(
    request: pytest.FixtureRequest,
    built: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Happened:
    node: Node = request.getfixturevalue(request.param)
    outputs = tmp_path_factory.mktemp("watched")
    watch = [str(node.installed.ctl), "watch", "--seconds", "300"]
    with (
        Daemon(watch, outputs / "text") as text,
        Daemon([*watch, "--json"], outputs / "j") as lines,
    ):
        return _happen(node, built("hostile").read_bytes(), {"text": text, "json": lines})


def _happen(node: Node, program: bytes, watching: dict[str, Daemon]) -> Happened:
    words = ["/work/hostile", DIRECTORY, str(TIMES), *(case.word for case in CASES)]
    made = Program(HOSTILE, words, {"hostile": program})
    quiet = Program(QUIET, [*words[:3], f"39:{b'q'.hex()}:{b'q'.hex()}:0"], made.files)
    for one in watching.values():
        wait_until(functools.partial(process_status.watches, one.pid), "watch", 60)
    bundles = {mode: node.bundle(mode, made) for mode in MODES}
    with kernel_log.told() as told:
        for mode in MODES:
            for bundle in (bundles[mode], node.bundle(mode, quiet)):
                done = bundle.call(node.installed.wrapper, "run")
                assert done.returncode == 0, done.stdout
    report = node.report()
    wait_until(lambda: _complete(watching["json"].log), "all that is watched for", 60)
    time.sleep(1)
    for one in watching.values():
        one.process.send_signal(signal.SIGINT)
        one.process.wait(60)
    watched = {name: one.log.read_bytes() for name, one in watching.items()}
    return Happened(node, told, {m: b.auid for m, b in bundles.items()}, watched, report)


def _complete(log: Path) -> bool:
    seen = _watched(log.read_bytes())
    counts = [sum(one["count"] for one in _of(seen, mode)) for mode in MODES]
    return all(count >= TIMES * len(CASES) for count in counts)


def _watched(text: bytes) -> list[Json]:
    whole = text.rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]


def _of(seen: list[Json], mode: str) -> list[Json]:
    return [one for one in seen if (one["namespace"], one["pod"]) == (mode, HOSTILE)]


def test_each_call_has_its_workload_count_and_program(happened: Happened) -> None:
    assert named(happened.told.calls(happened.auids[AUDIT], kernel_log.LOGGED)) == set(EXPECTED)
    for mode in MODES:
        calls = happened.report[mode, HOSTILE]["calls"]
        assert {(one["abi"], one["syscall"]): one["count"] for one in calls} == dict.fromkeys(
            EXPECTED, TIMES
        )
        programs = {one["syscall"]: one["programs"] for one in calls}
        assert programs == {case.call: [case.exe[:256]] for case in CASES}
        assert happened.report[mode, QUIET]["calls"] == []


def test_the_kernels_record_has_no_field_that_a_name_made(happened: Happened) -> None:
    records = happened.told.of(happened.auids[AUDIT], kernel_log.LOGGED)
    comms = {one.comm for one in records}
    assert b"\x1b[2J\x1b[1;1H".hex().upper() in comms
    assert len(records) == TIMES * len(CASES)
    assert terminal.acting(bytes.fromhex(b"\x1b[2J\x1b[1;1H".hex())) == ["'\\x1b'"]  # raw, it acts


def test_watch_prints_one_line_for_each_kind_of_call(happened: Happened) -> None:
    text = happened.watched["text"]
    assert terminal.acting(text) == []
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  |note: |$")
    assert [line for line in text.decode().split("\n") if not stamp.match(line)] == []
    seen = _watched(happened.watched["json"])
    assert happened.watched["json"].isascii()
    for mode in MODES:
        counts: dict[tuple[str, str], int] = {}
        for one in _of(seen, mode):
            key = (one["syscall"], one["program"])
            counts[key] = counts.get(key, 0) + one["count"]
        assert counts == {(case.call, case.exe[:256]): TIMES for case in CASES}


@pytest.mark.parametrize("mode", MODES)
def test_the_suggested_profile_allows_the_calls_and_nothing_of_the_names(
    happened: Happened, mode: str
) -> None:
    done = happened.node.installed.control("suggest", "--allow-dangerous", f"{mode}/{HOSTILE}/main")
    assert terminal.acting((done.stdout + done.stderr).encode()) == []
    added = [one for one in json.loads(done.stdout)["add"] if "seen 3 times" in one["comment"]]
    assert {name for one in added for name in one["names"]} == {case.call for case in CASES}
