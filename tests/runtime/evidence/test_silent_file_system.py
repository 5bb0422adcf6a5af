"""A container's program lies on a file system whose server, the container's own, is silent."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.hung_files import mounted
from harness.node.requirements import program
from runc_wrap.evidence.attribution.process_lifetimes import Family

if TYPE_CHECKING:
    from collections.abc import Callable

SHORT = 5.0  # seconds; a look takes some 20 us


def ends(look: Callable[[], None]) -> bool:
    """Tell whether something ends by itself."""
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(SHORT)
    return not thread.is_alive()


def test_the_agents_look_at_a_process_does_not_wait_for_its_file_system(tmp_path: Path) -> None:
    found: list[float | None] = []
    with mounted(tmp_path, Path(program("busybox")).read_bytes()) as silence:
        words, path = ["busybox", "sleep", "100"], tmp_path / "program"
        process = subprocess.Popen(words, executable=path)
        silence()

        def ask() -> None:
            with contextlib.suppress(OSError):  # the server has ended
                Path(f"/proc/{process.pid}/exe").stat()

        def look() -> None:
            found.append(Family(process.pid).looked(process.pid))

        waits = not ends(ask)
        has_looked = ends(look)
        process.kill()
    process.wait()  # a page of it may have been asked for
    assert waits  # as the agent would
    assert has_looked
    assert found[0]  # and it knows the file all the same
