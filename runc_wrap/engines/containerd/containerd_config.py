"""containerd: the CRI plugin's runtime handlers.

1.x            in the main file itself                      containerd/main_file.py
2.x            a drop-in that the main file imports         containerd/drop_ins.py
distributions  where theirs generates it again from         containerd/generated_config.py
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.engines.containerd import (
    distributions,
    drop_ins,
    generated_config,
    main_file,
)

if TYPE_CHECKING:
    from runc_wrap.engines.file_tree import Tree
    from runc_wrap.engines.handler import Handler

CONFIG = Path("/etc/containerd/config.toml")


def render(tree: Tree, config: Path, handlers: list[Handler], facts: dict[str, Any]) -> list[str]:
    """Put `handlers` into the drafts of `tree`. Facts: {major, minor}. Return warnings."""
    if not handlers:
        return []
    by = distributions.of_config(config)
    if by is not None:
        return generated_config.render(tree, config, handlers, facts, by)
    if facts["major"] == 1:
        return main_file.render(tree, config, handlers, (2,))
    return drop_ins.render(tree, config, handlers, facts)


def drop_in(config: Path, handler: Handler) -> Path:
    """Return the drop-in file of one handler beside a main file of 2.x."""
    return drop_ins.drop_in(config.parent / "conf.d", handler)
