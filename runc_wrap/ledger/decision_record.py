"""What a ledger says: a decision, the typed value of a line, and all of them together."""

from typing import Any, NamedTuple

from runc_wrap.hotpath.decision import AUDIT, ENFORCE, ENFORCE_LOG, OBSERVE, form_of

Json = dict[str, Any]
Key = tuple[str, str]  # as hotpath.ledger_file has it
Starts = dict[Key, tuple[str | None, int]]
LOGGED_MODES = (AUDIT, ENFORCE_LOG)  # in which the kernel logs what the profile denies
HAD_CANDIDATE = "had_candidate"  # whole_ledger adds it: of an earlier line
SELFTEST = "runc-wrap-selftest"  # the id of the containers that `selftest` runs


class Record(NamedTuple):
    """One decision; a field that is missing or has another type is None.

    `pid` is the runtime's; `fallback`: the agent's socket existed, but the agent was not followed.
    `candidate` is looked at beside the profile, which is enforced then; its digest tells its text.
    `replaced` names the engine's default profile that was taken over.
    `restored`: from a checkpoint, with the filters of then.
    `recorded`: the agent was also asked about calls that the profile allows.
    `filters` is how many seccomp filters the decided config asks for; `line` is the whole line.
    """

    id: str
    time: str | None
    engine: str | None
    root: str | None
    bundle: str | None
    namespace: str | None
    pod: str | None
    container: str | None
    image: str | None
    action: str | None
    mode: str | None
    profile: str | None
    candidate: str | None
    candidate_digest: str | None
    digest: str | None
    rule: str | None
    reason: str | None
    via: str | None
    declared: str | None
    ignored: str | None
    replaced: str | None
    handler: str | None
    pid: int | None
    fallback: bool
    restored: bool
    recorded: bool
    filters: int
    line: Json

    @property
    def key(self) -> Key:
        """Return the container's key."""
        return self.root or "", self.id

    @property
    def is_injected(self) -> bool:
        """Whether runc-wrap gave it a profile."""
        return self.action == "inject" and self.mode != "off"

    @property
    def has_listener(self) -> bool:
        """Whether the agent is asked about its calls."""
        return self.is_injected and (self.mode == OBSERVE or self.recorded)

    @property
    def is_logged(self) -> bool:
        """Whether the kernel logs calls of it that the profile or a candidate would deny."""
        return self.mode in LOGGED_MODES or (bool(self.candidate) and self.mode == ENFORCE)

    @property
    def had_candidate(self) -> bool:
        """Whether an earlier start of it had a candidate, as far as the ledger goes back."""
        return self.line.get(HAD_CANDIDATE) is True

    @property
    def form(self) -> str:
        """The name of its compiled profile's form, as hotpath.decision has it."""
        return form_of(self.mode, self.candidate_digest, recorded=self.recorded)

    @property
    def is_selftest(self) -> bool:
        """Whether `selftest` ran it."""
        return self.id == SELFTEST

    @property
    def is_sandbox(self) -> bool:
        """Whether it is a pod's pause container: only such a one has no name in its pod."""
        return self.pod is not None and self.container is None

    @property
    def origin(self) -> tuple[str | None, int | None]:
        """Return the origin, as ledger_file.is_late compares it."""
        return self.via, self.pid


def of(line: Json) -> Record:
    """Return the record of a line that ledger_file.parsed accepted."""
    pid, filters = line.get("pid"), line.get("filters")
    if type(filters) is not int or filters < 0:
        filters = int(line.get("action") in ("inject", "keep"))
    texts = {name: text(line.get(name)) for name in _TEXTS}
    return Record(
        id=line["id"],
        pid=pid if type(pid) is int else None,
        fallback=line.get("fallback") is True,
        restored=line.get("restored") is True,
        recorded=line.get("recorded") is True,
        filters=filters,
        line=line,
        **texts,
    )


class LaidFilters(NamedTuple):
    """What was laid on a container that runs: the digests of all filters, the oldest first.

    `first` is the pid and the start time of its first process: another one has none of them.
    `partly` are those of which it is not known that all processes got them.
    """

    laid: tuple[str, ...]
    first: tuple[object, ...]
    partly: tuple[str, ...]


class Ledger(NamedTuple):
    """The last record of each container, and how many lines were malformed.

    `starts`: {container: (time of the first decision, how many)}: engines may start one again.
    `tightened`: the last line of `runc-wrapctl tighten` for a container, whoever started it.
    """

    records: dict[Key, Record]
    damaged: int = 0
    starts: Starts = {}  # noqa: RUF012 - it is never changed
    tightened: dict[Key, LaidFilters] = {}  # noqa: RUF012 - likewise

    def of(self, root: str, container: str) -> Record | None:
        """Return the record that counts for a container, None if there is none."""
        return self.records.get((root, container))

    @property
    def roots(self) -> set[str]:
        """The runtimes' roots in the records."""
        return {root for root, _ in self.records if root}


def tightened(line: Json) -> LaidFilters:
    """Return what a line of `tighten` says."""
    found = (line.get(name) for name in ("laid", "first", "partly"))
    laid, first, partly = ([*one] if isinstance(one, list) else [] for one in found)
    digests, left = (tuple(one for one in some if isinstance(one, str)) for some in (laid, partly))
    return LaidFilters(digests, tuple(first), left)


def text(value: object) -> str | None:
    """Return a string unchanged, None for anything else."""
    return value if isinstance(value, str) else None


_NOT_TEXTS = {"id", "pid", "fallback", "restored", "recorded", "filters", "line"}
_TEXTS = [name for name in Record._fields if name not in _NOT_TEXTS]
