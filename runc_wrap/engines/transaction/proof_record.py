"""The record of the last transaction, PREFIX/var/proofs, a file per registration.

Since when and by whom, which bytes the engine has read, and with which version of the engine a
canary proved each handler. A record that cannot be read is none: nothing but the words of `engine
status` depend on it.
"""

import contextlib
import hashlib
import json
import os
import pwd
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from runc_wrap.documents import reader as documents
from runc_wrap.engines import engine_files
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.host import files

_LARGEST = 1 << 20
_LOGIN_UID = Path("/proc/self/loginuid")
_NO_LOGIN = 0xFFFFFFFF


@dataclass(frozen=True)
class Proof:
    """The last transaction, which began at these seconds since the epoch.

    `digests` are of the files as the engine read them; `versions`: {handler: the engine's version
    when a canary proved it}.
    """

    begun: float
    by: str
    digests: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def _path(where: Where) -> Path:
    return where.state_dir.parent / "proofs" / where.state_file.name


def read(where: Where) -> Proof | None:
    """Return what is recorded of a registration, None without a record that can be read."""
    try:
        return documents.read(Proof, files.read(_path(where), _LARGEST))
    except (OSError, ValueError):
        return None


def write(where: Where, proof: Proof) -> None:
    """Record it. Raises OSError."""
    path = _path(where)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.replace(path, json.dumps(asdict(proof)).encode(), writer="proof")


def forget(where: Where) -> None:
    """Remove it: a change without a canary came after it."""
    _path(where).unlink(missing_ok=True)


def digests(paths: Iterable[str]) -> dict[str, str]:
    """Return {path: digest of its bytes}, without those that cannot be read."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError, ValueError):  # irregular, too large
            data = files.read(Path(path), engine_files.MAX_BYTES, follows=True)
            found[path] = hashlib.sha256(data).hexdigest()
    return found


def author() -> str:
    """Return who runs this command, by the kernel's login uid, which sudo does not change."""
    try:
        uid = int(_LOGIN_UID.read_text())
    except (OSError, ValueError):
        uid = _NO_LOGIN
    uid = os.getuid() if uid == _NO_LOGIN else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
