"""Where containers/storage, which Podman uses, keeps the containers of root.

Source: containers/storage storage.conf(5): the file in /etc takes the place of the vendor's.
"""

from __future__ import annotations

from pathlib import Path

from runc_wrap.engines import engine_files, toml_text

FILES = (Path("/etc/containers/storage.conf"), Path("/usr/share/containers/storage.conf"))
_DEFAULT = "/var/lib/containers/storage"


def directory() -> Path:
    """Return the directory, which need not exist. Raises EngineError and OSError."""
    texts = ((path, engine_files.read(path)) for path in FILES)
    path, text = next((one for one in texts if one[1] is not None), (FILES[0], ""))
    table = toml_text.lookup(toml_text.parse(text or "", str(path)), ["storage"])
    return Path(str(table.get("graphroot") or _DEFAULT))
