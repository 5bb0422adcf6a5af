"""What tightening a container would do, and why it is refused: known before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runc_wrap.failure import Failure
from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate import kernel_length
from runc_wrap.filters.evaluate.bpf import BpfError
from runc_wrap.filters.evaluate.runtime_load import Loader
from runc_wrap.filters.kernel import injection, ptrace
from runc_wrap.host import containers, procfs
from runc_wrap.hotpath.decision import OBSERVE
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.profiles.source_profile import ProfileError
from runc_wrap.tighten import process_threads, saved_state
from runc_wrap.tighten.laid_filter import LaidFilter

if TYPE_CHECKING:
    from runc_wrap.node.container_state.node_status import Entry
    from runc_wrap.tighten.saved_state import SavedState

_STRICT = 1  # SECCOMP_MODE_STRICT


@dataclass(slots=True)
class TighteningPlan:
    """One container. `refused` is a sentence, or "".

    `lacking` are the threads that have not the filter yet, as far as they can be read.
    `needs_no_new_privs`: the kernel lets one of them add a filter only after setting that.
    """

    entry: Entry
    laid: LaidFilter
    loader: Loader
    saved: SavedState | None = None
    lacking: list[int] = field(default_factory=list)
    needs_no_new_privs: bool = False
    refused: str = ""

    @property
    def is_done(self) -> bool:
        """Whether all of its processes, and those that are executed in it, have the filter."""
        is_saved = self.saved is not None and self.saved.has(self.laid)
        return is_saved and not self.lacking and not self.refused


def refused(entry: Entry, sentence: str) -> TighteningPlan:
    """Return the plan for a container for which there is no filter."""
    return TighteningPlan(entry, LaidFilter("-", {}, b""), Loader("crun"), refused=sentence)


def of(entry: Entry, laid: LaidFilter, loader: Loader, *, set_no_new_privs: bool) -> TighteningPlan:
    """Return what laying a filter on a container would do. Changes nothing.

    Its processes are stopped one by one, to read their filters.
    """
    plan = TighteningPlan(entry, laid, loader)
    try:
        plan.refused = _refused(entry)
        if not plan.refused:
            _look(plan)
            if plan.needs_no_new_privs and not set_no_new_privs:
                plan.refused = injection.NEEDS_NO_NEW_PRIVS
    except (OSError, ValueError, KeyError, ProfileError, Refusal, Failure) as error:
        plan.refused = (
            f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
        )
    return plan


_OBSERVED = (
    "the agent answers calls of its own filter first, so another one would not do what it says: "
    "recreate the container under enforce"
)


def _look(plan: TighteningPlan) -> None:
    """Read what the runtime saved, and the processes. Raises what `of` catches."""
    plan.saved = saved_state.read(plan.entry.container, plan.loader)
    if plan.saved.notifies:
        raise Failure(_OBSERVED)
    if not plan.saved.has(plan.laid):
        plan.saved.with_filter(plan.laid, plan.loader)
    _add_processes(plan)


def _refused(entry: Entry) -> str:
    container, record = entry.container, entry.record
    if container.owner:
        return f"it belongs to uid {container.owner}, who can change what its runtime saved"
    if container.state == containers.CREATED:
        return "it is created and not started: start it, then run this again"
    if record and record.action == "inject" and record.mode == OBSERVE:
        return _OBSERVED
    if any(one.seccomp == _STRICT for one in entry.members):
        return "one of its processes is in seccomp's strict mode, to which no filter can be added"
    return ""


def _add_processes(plan: TighteningPlan) -> None:
    """Find the threads that lack the filter. Raises Failure for one that has no room for it."""
    program = plan.laid.program
    is_hardened = (procfs.read("/proc/sys/net/core/bpf_jit_harden", 16) or b"0").strip() != b"0"
    for _, pid, filters in ptrace.read_threads([one.pid for one in plan.entry.members]):
        if isinstance(filters, ptrace.FiltersUnreadableError):
            plan.lacking.append(pid)  # it is named if it cannot be tightened
            continue
        if not _lacks(plan, filters):
            continue
        if not kernel_length.has_room(filters, program, is_hardened=is_hardened):
            raise Failure(
                f"the filters of its process {pid} would have more than the 32,768 instructions "
                "that the kernel allows; restart the container"
            )
        plan.lacking.append(pid)
    plan.needs_no_new_privs = any(map(_needs_no_new_privs, plan.lacking))


def _lacks(plan: TighteningPlan, filters: tuple[bytes, ...]) -> bool:
    """Tell whether the runtime's filters and those that were laid let through what this denies.

    A program's own are not compared: it can write filters that take for ever.
    """
    record, program = plan.entry.record, plan.laid.program
    saved = plan.saved.filters if plan.saved else ()
    own = filters[: record.filters if record else 0]
    known = (*own, *(one for one in filters[len(own) :] if one in saved))
    try:
        return program not in filters and bool(filter_comparison.weaker(known, (program,)))
    except BpfError:
        return True


def _needs_no_new_privs(pid: int) -> bool:
    try:
        return not process_threads.may_add(procfs.status(pid))
    except (OSError, KeyError):  # it has ended
        return False
