"""The record of decisions."""

import contextlib
import itertools
import json
import os
import posix
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.host import disk_faults
from runc_wrap.hotpath import json_codec, ledger_file
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.container_identity import identify
from runc_wrap.hotpath.decision import Decision


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "var").mkdir()
    monkeypatch.delitem(posix.environ, b"XDG_RUNTIME_DIR", raising=False)
    return str(tmp_path)


def _line(root: str = "/r", name: str = "ID", **decided: str) -> dict[str, Any]:
    called = Invocation("create", {"bundle": "/b", "root": root, "pid-file": "pid"}, name)
    decision = Decision("inject", "Because.", "unset")
    vars(decision).update(decided)
    who = identify(called, {}, "/x/runc-wrap")
    return ledger_file.record(called, who, decision, {"a": 1}, "cold")


def _ledger(prefix: str) -> Path:
    return Path(prefix) / "var/ledger"


def _many(prefix: str) -> None:
    """Append lines of containers that are gone: more than one file may have."""
    for n in range(100):
        ledger_file.append(prefix, _line(f"{prefix}/state", f"gone{n}"))


def _state_of(prefix: str, *alive: str) -> str:
    """Return a runtime's root where these containers exist."""
    for name in alive:
        (Path(prefix) / "state" / name).mkdir(parents=True, exist_ok=True)
    return f"{prefix}/state"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file be rotated after some lines."""
    monkeypatch.setattr(ledger_file, "LARGEST", 2_000)


def _read(prefix: str, name: str = "ledger.jsonl") -> list[dict[str, Any]]:
    text = (_ledger(prefix) / name).read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_candidate_is_named_with_its_digest() -> None:
    line = _line(candidate="containerd@2.3.1", candidate_digest="d" * 64)
    assert (line["candidate"], line["candidate_digest"]) == ("containerd@2.3.1", "d" * 64)


def test_a_line_has_what_other_programs_read(prefix: str) -> None:
    ledger_file.append(prefix, _line())
    (found,) = _read(prefix)
    wanted = "time id engine root bundle pid_file namespace pod container image action mode profile"
    wanted += " digest rule reason seconds via declared ignored handler filters"
    assert list(found) == wanted.split()
    assert found["pid_file"] == f"{Path.cwd()}/pid"
    assert len(found["digest"]) == 64


def test_only_root_can_read_it(prefix: str) -> None:
    ledger_file.append(prefix, _line())
    directory = _ledger(prefix)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "ledger.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_user_who_may_not_write_the_nodes_ledger_has_their_own(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rootless Podman's runtime is uid 0 of a user namespace, so the uid shows nothing."""
    real = posix.open

    def refusing(path: str, *rest: int) -> int:
        if path.startswith(f"{prefix}/var"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest)

    monkeypatch.setattr("posix.open", refusing)
    monkeypatch.setitem(posix.environ, b"XDG_RUNTIME_DIR", os.fsencode(tmp_path))
    ledger_file.append(prefix, _line())
    assert (tmp_path / "runc-wrap" / "ledger" / "ledger.jsonl").exists()


@pytest.mark.parametrize("character", ["\x01", '"', "ä", "\U0001f600", "\udcff"])
def test_a_line_is_never_longer_than_what_is_read(prefix: str, character: str) -> None:
    line = {name: character * 5000 if value is None else value for name, value in _line().items()}
    ledger_file.append(prefix, line | {"id": character * 5000, "bundle": character * 5000})
    text = (_ledger(prefix) / "ledger.jsonl").read_bytes()
    found = ledger_file.parsed(text.removesuffix(b"\n"))
    assert found is not None
    assert found.keys() == line.keys()
    assert found["root"] == "/r"


def test_a_line_without_room_leaves_no_part(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes the part of a line for which the file's last block has room."""
    ledger_file.append(prefix, _line(name="whole"))
    whole = posix.write
    monkeypatch.setattr("posix.write", lambda to, data: whole(to, data[:10]))
    with pytest.raises(OSError, match="No space left on device"):
        ledger_file.append(prefix, _line(name="short"))
    monkeypatch.setattr("posix.write", whole)
    ledger_file.append(prefix, _line(name="after"))
    assert [line["id"] for line in _read(prefix)] == ["whole", "after"]


def test_a_part_goes_without_anothers_line(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger_file.append(prefix, _line(name="whole"))
    whole = posix.write

    def write(to: int, data: bytes) -> int:
        monkeypatch.setattr("posix.write", whole)
        written = whole(to, data[:10])
        ledger_file.append(prefix, _line(name="another's"))
        return written

    monkeypatch.setattr("posix.write", write)
    with pytest.raises(OSError, match="No space left on device"):
        ledger_file.append(prefix, _line(name="short"))
    assert "another's" in (_ledger(prefix) / "ledger.jsonl").read_text()


def test_the_second_of_two_creates_that_rotate_leaves_the_new_file(prefix: str) -> None:
    directory = _ledger(prefix)
    ledger_file.append(prefix, _line(name="new"))
    (directory / "ledger.1.jsonl").write_text("full")
    ledger_file._rotate(str(directory))  # noqa: SLF001 - it had seen the file before the other's turn
    assert (directory / "ledger.1.jsonl").read_text() == "full"
    (directory / "ledger.jsonl").unlink()  # nobody has written since the other's turn
    ledger_file._rotate(str(directory))  # noqa: SLF001


@pytest.mark.usefixtures("small")
def test_a_ledger_far_over_its_limit_is_rotated(prefix: str) -> None:
    for name in ("ledger.jsonl", "ledger.1.jsonl"):
        _ledger(prefix).mkdir(exist_ok=True)
        (_ledger(prefix) / name).write_text('{"root":"/r","id":"x"}\n' * 100_000)
    for _ in range(3):
        ledger_file.append(prefix, _line())
    assert (_ledger(prefix) / "ledger.jsonl").stat().st_size < 3_000


@pytest.mark.usefixtures("small")
def test_a_rotation_loses_no_existing_container_joined_to_a_torn_line(prefix: str) -> None:
    root = _state_of(prefix, "alive")
    ledger_file.append(prefix, _line())
    file = _ledger(prefix) / "ledger.jsonl"
    os.truncate(file, 50)
    ledger_file.append(prefix, _line(root, "alive"))
    _many(prefix)
    assert [one["id"] for one in _read(prefix, "ledger.2.jsonl")] == ["alive"]


FOLLOWED = [{"via": via, "pid": 7} for via in ("agent", "cold", "agent")]  # the last one came late
LAID = [{"action": ledger_file.TIGHTEN, "laid": laid} for laid in (["a"], ["a", "b"])]
KEPT: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "of the precreate hook, without a root": ([{"root": "", "via": "hook"}], [{"via": "hook"}]),
    "that was followed": (FOLLOWED, [{"via": "cold"}]),
    "and what was laid on it": ([{}, *LAID], [{"action": "inject"}, LAID[1]]),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("case", KEPT)
def test_a_rotation_keeps_of_an_existing_container_the_line(
    prefix: str, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    root, (written, wanted) = _state_of(prefix, "alive"), KEPT[case]
    monkeypatch.setattr(ledger_file, "DEFAULT_ROOTS", (f"{prefix}/none", root))
    ledger_file.append(prefix, {**_line("", "gone"), "via": "hook"})
    for more in written:
        ledger_file.append(prefix, {**_line(root, "alive"), **more})
    _many(prefix)
    found = _read(prefix, "ledger.2.jsonl")
    assert {one["id"] for one in found} == {"alive"}
    assert [one | more for one, more in zip(found, wanted, strict=True)] == found


@pytest.mark.usefixtures("small")
def test_a_rotation_keeps_the_last_decision_of_a_reused_id(prefix: str) -> None:
    root = _state_of(prefix, "alive")
    for number in range(4):
        ledger_file.append(prefix, {**_line(root, "alive"), "reason": f"decision {number}"})
        _many(prefix)
    (kept,) = [one for one in _read(prefix, "ledger.2.jsonl") if one["id"] == "alive"]
    assert kept["reason"] in ("decision 2", "decision 3")
    files = [f"ledger{each}.jsonl" for each in (".2", ".1", "")]  # the last line may have rotated
    there = [name for name in files if (_ledger(prefix) / name).exists()]
    every = [one for name in there for one in _read(prefix, name) if one["id"] == "alive"]
    assert every[-1]["reason"] == "decision 3"


@pytest.mark.usefixtures("small")
def test_a_killed_rotation_loses_no_existing_container(prefix: str, tmp_path: Path) -> None:
    _ledger(prefix).mkdir()
    every: list[tuple[set[str], disk_faults.Moment]] = []
    alive: set[str] = set()
    for number in range(20):  # some of them rotate
        name = f"alive{number % 3}"
        (tmp_path / "state" / name).mkdir(parents=True, exist_ok=True)
        with disk_faults.recorded(_ledger(prefix)) as moments:
            ledger_file.append(prefix, _line(f"{tmp_path}/state", name))
        every += [({*alive}, moment) for moment in moments]
        alive.add(name)
    assert any("ledger.2.new" in moment.call for _, moment in every)
    for there, moment in every:
        told = {
            json.loads(line)["id"]
            for name, what in moment.killed.items()
            if isinstance(what, bytes) and name.startswith("ledger") and name.endswith(".jsonl")
            for line in what.splitlines()
        }
        assert told >= there, moment.call


@pytest.mark.usefixtures("small")
@disk_faults.EACH_FAULT
def test_any_failing_call_of_a_rotation_loses_no_existing_container(
    tmp_path: Path, fault: int | str, *, lasting: bool
) -> None:
    files = ("ledger.2.jsonl", "ledger.1.jsonl", "ledger.jsonl")
    for name in files:
        (tmp_path / "state" / name).mkdir(parents=True)
    for number in itertools.count(1):
        prefix = tmp_path / str(number)
        (prefix / "var/ledger").mkdir(parents=True)
        for name in files:
            line = json.dumps(_line(f"{tmp_path}/state", name)) + "\n"
            gone = json.dumps(_line(f"{tmp_path}/state", "gone")) + "\n"
            (prefix / "var/ledger" / name).write_text(line + gone * 4)
        with (
            disk_faults.failing(number, fault, lasting=lasting) as told,
            contextlib.suppress(OSError),
        ):
            ledger_file.append(str(prefix), _line(f"{tmp_path}/state", "gone"))
        if not told.failed:
            break
        for _ in range(20):
            ledger_file.append(str(prefix), _line(f"{tmp_path}/state", "gone"))
        there = [name for name in files if (prefix / "var/ledger" / name).exists()]
        told_of = {one["id"] for name in there for one in _read(str(prefix), name)}
        assert told_of >= {*files}, told.failed
    assert number > 5


@pytest.mark.usefixtures("small")
def test_a_rotation_that_died_does_not_stop_later_ones(prefix: str) -> None:
    ledger_file.append(prefix, _line())
    holds = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, 2); print(flush=True)"
    words = [sys.executable, "-c", f"{holds}; sys.stdin.read()", str(_ledger(prefix) / "lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as rotating:
        assert rotating.stdout
        assert rotating.stdout.readline()
        for _ in range(10):
            ledger_file.append(prefix, _line())
        assert not (_ledger(prefix) / "ledger.1.jsonl").exists()
        rotating.kill()
    ledger_file.append(prefix, _line())
    assert (_ledger(prefix) / "ledger.1.jsonl").exists()


@pytest.mark.usefixtures("small")
def test_damaged_lines_do_not_stop_a_rotation(prefix: str) -> None:
    directory = _ledger(prefix)
    directory.mkdir()
    (directory / "ledger.1.jsonl").write_text('{"root":1}\nnonsense\n[]\n')
    for _ in range(20):
        ledger_file.append(prefix, _line())
    assert (directory / "ledger.1.jsonl").read_text().startswith('{"time"')


@given(st.text(), st.text(), st.integers(min_value=1), st.integers(0, 3))
@example('{"time":', '{"time":', 1, 0)
def test_a_line_joined_to_a_torn_one_is_read(torn: str, name: str, at: int, zeros: int) -> None:
    """As after a power failure, after which a file's end may also be zeros."""
    first, whole = (json_codec.dumps(_line(name=one)) for one in (torn, name))
    at = at % len(first) or len(first)
    joined = first[:at] + bytes(zeros) + whole
    left, right = ledger_file.entries(joined)
    assert (left[0] + right[0], right[0]) == (joined, whole)
    assert right[1] == ledger_file.parsed(whole)
    is_whole = at == len(first) and not zeros
    assert left[1] == (ledger_file.parsed(first) if is_whole else None)


@given(st.binary(), st.text())
def test_a_line_is_one_entry_or_two_whatever_it_is(text: bytes, name: str) -> None:
    whole = json_codec.dumps(_line(name=name))
    for line in (text, whole, whole + text):
        found = ledger_file.entries(line)
        assert b"".join(part for part, _ in found) == line
        assert len(found) <= 2
    assert ledger_file.entries(whole) == [(whole, ledger_file.parsed(whole))]
