"""One container: what tightening it would do, or why it is refused; and what came of it.

All that is refused is known before anything is touched.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from runc_wrap.failure import Failure
from runc_wrap.filters import filter_comparison
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.bpf import BpfError
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.kernel import filter_injection, filter_readback, ptrace
from runc_wrap.filters.kernel.injected_code import X86_64
from runc_wrap.filters.kernel.ptrace import FiltersUnreadableError, Status
from runc_wrap.host import cgroups, container_discovery, procfs
from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node.container_state.container_status import Entry
from runc_wrap.tighten import saved_state
from runc_wrap.tighten.laid_filter import FilterChoice, LaidFilter
from runc_wrap.tighten.process_tightening import Outcomes, ProcessOutcome
from runc_wrap.tighten.saved_state import SavedState

# What `Tightening.result` may be.
PLANNED, REFUSED, HAS_IT, LEFT = "would be tightened", "refused", "has it", "left: no canary"
PARTLY, TIGHTENED = "partly", "tightened"
_STRICT = 1  # SECCOMP_MODE_STRICT, linux/seccomp.h
ERRORS = (OSError, ValueError, KeyError, Refusal, Failure)  # of files, filters and profiles
_ENDS_WAITS = (
    "it denies restart_syscall, by which the kernel continues what waits when it is stopped, so "
    "waiting calls would fail; allow it in the profile"
)
_OBSERVED = (
    "the agent answers calls of its own filter first, so another one would not do what it says: "
    "recreate the container under enforce"
)


@dataclass(slots=True, eq=False)
class Tightening:
    """`runtime` is the real one's name.

    `reasons` are sentences on what is not tightened, `notes` on what was not meant to be.
    """

    entry: Entry
    loader: Loader
    runtime: str = "runc"
    set_no_new_privs: bool = False
    laid: LaidFilter = LaidFilter("-", {}, b"")  # noqa: RUF009 - immutable
    result: str = PLANNED
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    processes: Outcomes = field(default_factory=dict)

    def refuse(self, sentence: str) -> None:
        """Leave the container as it is."""
        self.result, self.reasons = REFUSED, [sentence]

    def shown(self) -> list[ProcessOutcome]:
        """Return what came of processes that had not the filter when they were born."""
        return [one for one in self.processes.values() if one]


def planned(entry: Entry, choice: FilterChoice, *, set_no_new_privs: bool) -> Tightening | None:
    """Return what laying the chosen filter on a container would do; None if there is none for it.

    Changes nothing. Its processes are stopped one by one, to read their filters.
    """
    plan = Tightening(entry, choice.loader(entry.container.kind), choice.runtime, set_no_new_privs)
    try:
        if owner := entry.container.owner:
            raise Failure(f"it belongs to uid {owner}, who can change what its runtime saved")
        laid = choice.of(entry)
        if laid is None:
            return None
        plan.laid = laid
        if entry.container.state == container_discovery.CREATED:
            raise Failure("it is created and not started: start it, then run this again")
        if cgroups.is_frozen(entry.container.pid or 0):
            raise Failure("it is paused: resume it, then run this again")
        saved = saved_state.read(entry.container, plan.loader)
        if saved.notifies:
            raise Failure(_OBSERVED)
        has_saved = saved.has(laid) or not saved.with_filter(laid, plan.loader)
        lacking = _lacking(plan, saved)
        if has_saved and not lacking and laid.digest not in entry.partly_laid:
            plan.result = HAS_IT
        elif ptrace.denies(laid.program, X86_64.restart, X86_64.audit):
            raise Failure(_ENDS_WAITS)
        elif not set_no_new_privs and not all(one is None or one.may_add for one in lacking):
            raise Failure(filter_injection.NEEDS_NO_NEW_PRIVS)
    except ERRORS as error:
        text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
        plan.refuse(text)
    return plan


def _lacking(plan: Tightening, saved: SavedState) -> list[Status | None]:
    """Return what threads have without the filter, or whose filters cannot be read.

    None: it has ended; it may have made another before. Raises Failure if a process has no room
    for it or may have none.
    """
    found: list[Status | None] = []
    is_hardened = (procfs.read("/proc/sys/net/core/bpf_jit_harden", 16) or b"0").strip() != b"0"
    for _, tid, filters in filter_readback.read_threads([one.pid for one in plan.entry.members]):
        if isinstance(filters, FiltersUnreadableError):
            pass  # on a busy machine: it is waited for later, and named if it does not stop
        elif not _lacks(plan, saved, filters):
            continue
        elif not bpf.has_room(filters, plan.laid.program, is_hardened=is_hardened):
            raise Failure(
                f"the filters of its process {tid} would have more than the 32,768 instructions "
                "that the kernel allows; restart the container"
            )
        found.append(None)
        with suppress(FiltersUnreadableError):
            found[-1] = status = ptrace.status(tid)
            if status.mode == _STRICT:
                raise Failure(
                    f"its process {tid} is in seccomp's strict mode, to which no filter is added"
                )
    return found


def _lacks(plan: Tightening, saved: SavedState, filters: tuple[bytes, ...]) -> bool:
    """Tell whether the runtime's filters and those that were laid let through what this denies.

    A program's own are not compared: it can write filters that take for ever.
    """
    record, program = plan.entry.record, plan.laid.program
    own = filters[: record.filters if record else 0]
    laid = (
        one
        for one in filters[len(own) :]
        if one in saved.filters or json_codec.digest(one) in plan.entry.laid
    )
    try:
        return program not in filters and bool(filter_comparison.weaker((*own, *laid), (program,)))
    except BpfError:
        return True
