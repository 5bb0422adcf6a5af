"""What a package's preinst keeps, and that an interrupted one keeps the next from nothing."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from deploy.packages import package_tree

if TYPE_CHECKING:
    from pathlib import Path


def test_a_release_is_kept_whole_after_an_upgrade_that_was_interrupted(tmp_path: Path) -> None:
    release = tmp_path / "releases" / "1"
    release.mkdir(parents=True)
    (release / "runc-wrap").write_text("the launcher")
    (tmp_path / "current").symlink_to("releases/1")
    for left in ("1.new", "1.kept"):
        (tmp_path / "releases" / left / "half").mkdir(parents=True)
    script = (package_tree.OWN / "keep_release.sh").read_text()
    own = script.replace(f"lib={package_tree.PREFIX}/lib", f"lib={tmp_path}")
    for _ in range(2):  # it was interrupted after that, and is called again
        subprocess.run(["/bin/sh", "-euc", f"{own}keep_release"], check=True)
        kept = tmp_path / "current"
        assert str(kept.readlink()) == "releases/1.kept"
        assert [path.name for path in kept.iterdir()] == ["runc-wrap"]
        assert not (tmp_path / "releases" / "1.new").exists()
