import gzip
import os
from pathlib import Path

import pytest

from harness.kernel.audit_records import line, write
from runc_wrap.evidence.sightings import LossSpan, Sighting
from runc_wrap.evidence.sources import Unavailable, log_files
from runc_wrap.host.progress_meter import Meter
from tests.unit.evidence.samples import serials


def lost(found: list[Sighting | LossSpan]) -> list[str]:
    return [item.why for item in found if isinstance(item, LossSpan)]


def read(path: Path, since: float = 0) -> list[Sighting | LossSpan]:
    return list(log_files.read(path, since, Meter()))


def packed(path: Path, *lines: bytes) -> None:
    path.write_bytes(gzip.compress(b"".join(text + b"\n" for text in lines)))


def test_compressed_files_and_dated_names_are_also_read(tmp_path: Path) -> None:
    log = write(tmp_path / "messages", line(5))
    with log.open("ab") as file:
        file.write(line(6)[:-3])  # it is being written
    packed(tmp_path / "messages-20260101.gz", line(1))
    packed(tmp_path / "messages-20260108.gz", line(2))
    write(tmp_path / "messages-20260115", line(3))
    for other in ("messages.x", "messages.1.bak", "xmessages", "messages_1"):
        write(tmp_path / other, line(4))
    os.utime(tmp_path / "messages-20260115", (1000, 1000))
    assert serials(read(log, since=1001)) == [1, 2, 5]
    assert (serials(read(log)), lost(read(log))) == ([1, 2, 3, 5], [])


def test_a_damaged_archive_is_read_up_to_the_damage_and_reported(tmp_path: Path) -> None:
    log = write(tmp_path / "audit.log", line(9))
    packed(tmp_path / "audit.log.2.gz", *(line(number) for number in range(5)))
    (tmp_path / "audit.log.1.gz").write_bytes(b"no archive")
    whole = (tmp_path / "audit.log.2.gz").read_bytes()
    (tmp_path / "audit.log.2.gz").write_bytes(whole[:-9])
    found = read(log)
    assert serials(found)[-1] == 9
    assert [why.rpartition(":")[2] for why in lost(found)] == [
        " audit.log.2.gz cannot be read to its end",
        " audit.log.1.gz cannot be read to its end",
    ]


def test_a_number_of_files_over_the_limit_is_reported(tmp_path: Path) -> None:
    log = write(tmp_path / "audit.log", line(0))
    for number in range(1, log_files.MOST + 5):
        write(tmp_path / f"audit.log.{number}", line(number))
    found = read(log)
    assert serials(found) == [*range(log_files.MOST - 1, 0, -1), 0]
    assert len(lost(found)) == 1


@pytest.mark.parametrize("kind", ["absent", "directory", "fifo", "folder absent"])
def test_a_file_that_is_not_a_log_is_unavailable(tmp_path: Path, kind: str) -> None:
    log = tmp_path / "x" / "audit.log" if kind == "folder absent" else tmp_path / "audit.log"
    if kind == "directory":
        log.mkdir()
    if kind == "fifo":
        os.mkfifo(log)
    with pytest.raises(Unavailable, match=r"audit\.log"):
        read(log)


def test_rotation_while_reading_hides_nothing(tmp_path: Path) -> None:
    log = write(tmp_path / "audit.log", line(2))
    write(tmp_path / "audit.log.1", line(1))
    reading = log_files.read(log, 0, Meter())
    found = [next(reading)]
    for number in (3, 4):  # twice, so that a file comes and is renamed between two looks
        for old in sorted(tmp_path.glob("audit.log.*"), reverse=True):
            old.rename(old.with_suffix(f".{int(old.suffix[1:]) + 1}"))
        log.rename(tmp_path / "audit.log.1")
        write(log, line(number))
    assert serials([*found, *reading]) == [1, 2, 3, 4]
