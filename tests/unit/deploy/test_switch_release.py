"""A package's switch to its release, with a release that has the launcher alone."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from deploy.packages import package_tree

if TYPE_CHECKING:
    from pathlib import Path


def test_a_handler_that_led_to_the_real_runtime_since_a_removal_is_ours_again(
    tmp_path: Path,
) -> None:
    """Its engine's configuration has it still, so its containers would start unconfined."""
    release = tmp_path / "lib" / "releases" / "1"
    (release / "venv" / "bin").mkdir(parents=True)
    (release / "venv" / "bin" / "runc-wrapctl").symlink_to("/bin/true")
    (release / "runc-wrap").write_text("the launcher")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "runc-wrapctl").symlink_to("../lib/current/venv/bin/runc-wrapctl")
    (tmp_path / "bin" / "strict").symlink_to("/usr/bin/runc")  # by leave-path
    script = package_tree.filled((package_tree.OWN / "switch-release").read_text(), VERSION="1")
    own = script.replace(f"prefix={package_tree.PREFIX}", f"prefix={tmp_path}")
    subprocess.run(["/bin/sh", "-c", own], check=True)
    links = {path.name: str(path.readlink()) for path in (tmp_path / "bin").glob("*[lt]")}
    assert links == {"runc-wrapctl": "../lib/current/venv/bin/runc-wrapctl", "strict": "runc-wrap"}
    assert (tmp_path / "bin" / "strict").read_text() == "the launcher"
