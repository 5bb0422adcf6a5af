"""The filter that a runtime saved when it created a container, and gives to what it executes there.

    runc    <root>/<id>/state.json     config.seccomp, from which each exec makes a filter
    crun    <root>/<id>/seccomp.bpf    the filter itself; without this file exec has none. It is a
                                       hard link into a cache that other containers share

Both are replaced by rename, never written in place. runc takes no lock: `runc update`, if it read
the file before, writes it back as it was, so whoever replaced it has to look again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runc_wrap.filters import filter_comparison, runtime_filter
from runc_wrap.filters.evaluate import bpf, merged_filter
from runc_wrap.host import files, runtime_state
from runc_wrap.profiles import return_codes
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.tighten import libcontainer_seccomp

if TYPE_CHECKING:
    from runc_wrap.filters.evaluate.runtime_load import Loader
    from runc_wrap.host.containers import RuntimeContainer
    from runc_wrap.tighten.laid_filter import LaidFilter

Json = dict[str, Any]
_MODES = {"runc": 0o600, "crun": 0o700}  # as each creates its file


@dataclass(frozen=True, slots=True)
class SavedState:
    """`filters` is what an executed process gets: one filter, or none."""

    path: Path
    kind: str
    text: bytes
    block: Json | None
    filters: tuple[bytes, ...]

    @property
    def notifies(self) -> bool:
        """Whether it asks a listener about some calls."""
        made = (one for each in self.filters for one in bpf.program(each).instructions)
        return (bpf.RET_K, return_codes.USER_NOTIF) in {(code, k) for code, _, _, k in made}

    def has(self, laid: LaidFilter) -> bool:
        """Tell whether an executed process may make no call that a filter denies."""
        return not filter_comparison.weaker(self.filters, (laid.program,))

    def with_filter(self, laid: LaidFilter, loader: Loader) -> bytes:
        """Return the file for one filter that is as strict as the saved one and another.

        Raises ProfileError, BpfError or Refusal if there is none.
        """
        if self.kind == "crun":
            saved = self.filters[0] if self.filters else None
            return merged_filter.merged(saved, laid.program) if saved else laid.program
        block = laid.merged_with(self.block)
        both = (*self.filters, laid.program)
        if left := filter_comparison.weaker((runtime_filter.installed(block, loader),), both):
            raise ProfileError(
                f"no single profile does what both do: {left[0].syscall} on {left[0].abi} would be "
                "let through to what runc executes in it; recreate the container instead"
            )
        state = json.loads(self.text)
        state["config"]["seccomp"] = libcontainer_seccomp.saved_of(block)
        return json.dumps(state, separators=(",", ":")).encode()

    def replace(self, text: bytes) -> None:
        """Put another file in its place. Raises OSError."""
        files.replace(self.path, text, _MODES[self.kind], is_synced=False, keeps=True)


def read(container: RuntimeContainer, loader: Loader) -> SavedState:
    """Return what a container's runtime saved. Raises OSError, ProfileError."""
    directory = Path(container.root) / container.id
    if container.kind == "crun":
        path = directory / "seccomp.bpf"
        try:
            text = files.read(path, runtime_state.LARGEST)
        except FileNotFoundError:
            return SavedState(path, "crun", b"", None, ())
        return SavedState(path, "crun", text, None, (text,))
    path = directory / "state.json"
    text = files.read(path, runtime_state.LARGEST)
    saved = json.loads(text)["config"].get("seccomp")
    block = libcontainer_seccomp.block_of(saved) if saved else None
    filters = (runtime_filter.installed(block, loader),) if block else ()
    return SavedState(path, "runc", text, block, filters)
