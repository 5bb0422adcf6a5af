"""The profile that a merged workload meets, of those that its nodes sent, ready to be added to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.hotpath import json_codec
from runc_wrap.profiles.json_profiles import formats
from runc_wrap.profiles.model import ProfileError
from runc_wrap.report.enforced_profile import Enforced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runc_wrap.filters.runtime_load import Loader
    from runc_wrap.report.merge.merged_workload import MergedWorkload


class SentProfiles:
    """Loads each profile once; one that cannot be loaded here is as one that was not sent."""

    def __init__(self, blocks: Mapping[str, bytes], loader: Loader) -> None:
        self._blocks = blocks
        self._loader = loader
        self._loaded: dict[str, Enforced | None] = {}

    def assign(self, workloads: Iterable[MergedWorkload]) -> None:
        """Give each workload with calls the profile that it has on most nodes.

        If that one was not kept or cannot be loaded there is none: a node that sends so many others
        that it is not kept must not have its own taken instead.
        """
        for one in workloads:
            most = max(one.blocks.values(), default=0)
            for digest, count in one.blocks.most_common() if one.calls else ():
                if count == most:
                    one.filter = one.filter or self._of(digest)

    def _of(self, digest: str) -> Enforced | None:
        if digest not in self._loaded:
            self._loaded[digest] = self._load(self._blocks.get(digest))
        return self._loaded[digest]

    def _load(self, block: bytes | None) -> Enforced | None:
        """Load what a node sent as strictly as a file of the owner's: its checks come first."""
        if block is None:
            return None
        try:
            formats.parse(block, "a node's document")
            return Enforced(json_codec.loads(block), self._loader)
        except ProfileError:
            return None


def sentence(one: MergedWorkload) -> str | None:
    """Return a warning if a workload's nodes have several profiles for it."""
    if len(one.blocks) < 2:  # noqa: PLR2004 - one is as it should be
        return None
    return (
        f"its nodes have {len(one.blocks)} different profiles for it, by their policies, releases "
        f"or machines; this one is on {max(one.blocks.values())} of {one.nodes}."
    )
