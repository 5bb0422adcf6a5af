"""Reading the config.json in the bundle of a container that runs.

A bundle may be on a file system that does not answer (FUSE, NFS), or behind a link of a user to
such a one; whoever waits there cannot even be killed. So a child process reads, and is given up in
time.
"""

import binascii
import os
import time

from runc_wrap.host import bounded_work
from runc_wrap.hotpath import config_file
from runc_wrap.hotpath.errors import Refusal, quoted

SECONDS = 5.0  # for one config
_IN_ALL = 20.0  # that a command waits for those that do not answer
_LITTLE = 0.2  # seconds, afterwards


class Reader:
    """Reads configs, and loses no more than `seconds` with those that do not answer."""

    def __init__(self, seconds: float = _IN_ALL) -> None:
        self._left = seconds

    def text(self, bundle: str) -> bytes:
        """Return a bundle's config.json. Raises Refusal."""
        path, uid, begun = f"{bundle}/config.json", os.geteuid(), time.monotonic()
        patience = max(min(SECONDS, self._left), _LITTLE)
        output = bounded_work.run({uid: lambda: [_read(path)]}, patience)[uid]
        if output.values:
            found, why = output.values[0]
            if why:
                raise Refusal(why)
            return binascii.a2b_base64(found)
        self._left -= time.monotonic() - begun
        raise Refusal(
            f"{quoted(path)} was not read within {patience:g} s: the file system does not answer."
        )


def _read(path: str) -> tuple[str, str]:
    """Return the text in base64, as the child's output is JSON, and why there is none."""
    try:
        return binascii.b2a_base64(config_file.read(path).text, newline=False).decode("ascii"), ""
    except Refusal as refusal:
        return "", str(refusal)


text = Reader().text  # of this process
