"""Reading the engines' files: text of a bounded length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.engines.handler import EngineError
from runc_wrap.host import files

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024


def read(path: Path) -> str | None:
    """Return the text of `path` with its line ends, None if it does not exist.

    Raises EngineError.
    """
    try:
        data = files.read(path, MAX_BYTES, follows=True)
    except FileNotFoundError:
        return None
    except files.Irregular:
        raise EngineError(
            f"{path} is not a file", "a configuration file", "--config FILE"
        ) from None
    except files.TooLarge:
        raise EngineError(
            f"{path} is larger than {MAX_BYTES} bytes", "a configuration file", "--config FILE"
        ) from None
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}", "a readable file", "run as root") from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise EngineError(f"{path}: {error}", "UTF-8", "correct the file first") from error
