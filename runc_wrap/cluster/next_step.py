"""What the installer does next on a node, and in which state it says that the node is.

Decided from what was seen, and nothing else. A change is made only where there is one to make; what
somebody else changed is reported; what failed is not tried again before its time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from runc_wrap.cluster import node_object
from runc_wrap.host import engine_names

if TYPE_CHECKING:
    from runc_wrap.cluster.state_file import Attempt, NodeRecord


# What to do
INSTALL, POLICY, REGISTER, PROVE = "install", "policy", "register", "prove"
WITHDRAW, UNREGISTER, UNINSTALL = "withdraw", "unregister", "uninstall"
LOOK, NOTHING = "look", "nothing"  # LOOK: what is not known yet is asked of the host
# The states, each one word in the node's annotation; REMOVED is none
INSTALLING, READY, WAITING, REFUSED = "installing", "ready", "waiting", "refused"
DRIFTED = "drifted"  # ready, but what is in force is not what the files say
FAILED, REVERTED, EDITED, POLICY_REFUSED = "failed", "reverted", "edited", "policy-refused"
UNPROVED = "unproved"  # the handler is in force, and its canary failed; nothing was taken back
REMOVING, REMOVED = "removing", "removed"
STATES = (INSTALLING, READY, WAITING, REFUSED, DRIFTED, FAILED, REVERTED, EDITED, POLICY_REFUSED,
          UNPROVED, REMOVING, REMOVED)  # fmt: skip
WELL = frozenset((READY, DRIFTED))  # there is nothing to do, and pods run as they should
# What `engine status` says of the handler
ABSENT, GONE, CHANGED, UPGRADED, UNREADABLE = "absent", "gone", "changed", "upgraded", "unreadable"
INTERRUPTED, IN_FORCE, OTHER_FILES = "interrupted", "in force", "other files"

OTHER_RELEASE = "another release was installed by hand; it is left as it is"
HANDLER = "runc-wrap"
ENGINES = {each.kubelet: each for each in engine_names.KNOWN.values() if each.kubelet}
NO_VERSION = "the engine does not tell the kubelet its version now; it is asked again"
_ASK = f"`kubectl annotate node NODE {node_object.AGAIN}=` has it registered again"


class NodeEngine(NamedTuple):
    """The node's engine: its name here, its version, and why it cannot be installed with.

    `is_known` is False while the engine does not answer the kubelet.
    """

    name: str = ""
    version: str = ""
    obstacle: str = ""
    is_known: bool = True


class Registration(NamedTuple):
    """What `engine status` says of the handler, in one of the words above, and what differs."""

    word: str = ABSENT
    drift: str = ""


@dataclass(frozen=True)
class Seen:
    """What was seen of a node; `wanted` and the policies are digests.

    `wanted` is the image's archive, `release` the one in force, `policy` the mounted files.
    `handlers` is None where the kubelet lists none. Steps that failed before `since` are tried
    again at once. `is_asked`: a person wants the handler registered again. `is_offered`: the
    RuntimeClass selects the node. `needed` says why a removal waits for containers, `left` why it
    did not end. `needed` and `registration` are None until they are asked for.
    """

    record: NodeRecord
    engine: NodeEngine
    kernel: str
    boot: str
    wanted: str
    release: str | None
    policy: str
    policy_problem: str
    policy_in_force: str | None
    handlers: frozenset[str] | None
    registration: Registration | None
    now: float
    since: float = 0.0
    is_asked: bool = False
    is_offered: bool = False
    needed: str | None = None
    left: str = ""

    @property
    def machine(self) -> str:
        """Return what the compiled policy depends on."""
        return f"{self.engine.name} {self.engine.version}, kernel {self.kernel}"

    @property
    def installed(self) -> str | None:
        """Return the digest of the archive that is installed."""
        return self.record.installed(self.release)


@dataclass(frozen=True)
class NextStep:
    """What to do, the state to show and why.

    A label that is None stays as it is; so does the state without a word.
    """

    step: str
    word: str
    why: str = ""
    is_ready: bool | None = None
    is_installed: bool | None = None


def key_of(seen: Seen, step: str) -> str:
    """Return what an attempt of a step depends on: another one is tried at once if it differs."""
    more = {
        INSTALL: seen.policy,  # which may name the runtime that was missing
        POLICY: f"{seen.policy} {seen.machine}",
    }.get(step, seen.engine.version)
    return f"{seen.wanted} {more}".strip()


def decide(seen: Seen) -> NextStep:
    """Return what to do next for the image's release and the mounted policy."""
    if not seen.engine.is_known:
        return NextStep(NOTHING, WAITING, NO_VERSION)
    if seen.engine.obstacle:
        return NextStep(NOTHING, REFUSED, seen.engine.obstacle, is_ready=False)
    if seen.installed == seen.wanted:
        return _of_installed(seen)
    found = _unless_failed(seen, NextStep(INSTALL, INSTALLING, is_ready=_kept(seen)))
    waits = found.step == NOTHING and seen.installed
    return _beside(found, _of_installed(seen)) if waits else found


def _beside(failed: NextStep, found: NextStep) -> NextStep:
    """Return what to do with an earlier release while the installation of another one waits.

    That has failed is shown, unless the earlier one is not in force, or has something to be done.
    """
    if found.step != NOTHING or found.is_ready is False:
        return found
    why = "; ".join(filter(None, (failed.why, found.why)))
    return NextStep(NOTHING, failed.word, why, is_ready=found.is_ready)


def _of_installed(seen: Seen) -> NextStep:
    """Return what to do with the release that is installed."""
    if seen.record.is_other_release(seen.release):
        return NextStep(NOTHING, EDITED, OTHER_RELEASE, is_ready=_kept(seen))
    if not (_is_compiled(seen) or _policy_problem(seen)):
        return NextStep(POLICY, "")
    if seen.registration is None:
        return NextStep(LOOK, "")
    return _registered(seen, seen.registration)


def _kept(seen: Seen) -> bool | None:
    """Return that the label stays where a release is in force, and that there is none otherwise."""
    return None if seen.installed else False


def _is_compiled(seen: Seen) -> bool:
    """Tell whether the mounted policy is in force, compiled for the engine and kernel that run."""
    return (seen.policy, seen.machine) == (seen.policy_in_force, seen.record.machine)


def _policy_problem(seen: Seen) -> str:
    """Return why the mounted policy is not put in force, "" if the loop may try it."""
    if _is_compiled(seen):
        return ""
    last = waiting(seen, POLICY)
    return seen.policy_problem or (last.reason if last else "")


def waiting(seen: Seen, step: str) -> Attempt | None:
    """Return the failed attempt of a step whose time has not come again, None without one."""
    for last in seen.record.failed:
        is_same = (last.step, last.key) == (step, key_of(seen, step))
        is_due = last.at < seen.since <= seen.now  # not by a clock that was set back since
        if is_same and not is_due and last.waits(seen.now):
            return last
    return None


def _unless_failed(seen: Seen, decision: NextStep) -> NextStep:
    """Return the decision, or that it has failed and waits for its time."""
    last = waiting(seen, decision.step)
    if last is None:
        return decision
    is_ready = False if last.word in (REVERTED, UNPROVED) else decision.is_ready
    return NextStep(NOTHING, last.word, last.reason, is_ready, decision.is_installed)


def _registered(seen: Seen, found: Registration) -> NextStep:
    register = NextStep(REGISTER, INSTALLING, found.drift, is_ready=False)
    if found.word in (ABSENT, INTERRUPTED):
        return _unless_failed(seen, register)
    if found.word in (GONE, CHANGED):
        booted = found.word == GONE and seen.record.boot not in ("", seen.boot)  # as by nodeadm
        if booted or seen.is_asked:
            return _unless_failed(seen, register)
        return NextStep(NOTHING, EDITED, f"{found.drift}; {_ASK}", is_ready=False)
    if found.word == UPGRADED:
        return _unless_failed(seen, NextStep(PROVE, INSTALLING, found.drift))
    if found.word == UNREADABLE:
        return NextStep(NOTHING, EDITED, found.drift)
    if seen.record.proved != seen.installed:
        return _unless_failed(seen, NextStep(PROVE, INSTALLING))
    if seen.handlers is not None and HANDLER not in seen.handlers:
        why = f"the kubelet does not list the handler {HANDLER} yet"
        return NextStep(NOTHING, WAITING, why, is_ready=False)
    return _in_force(seen, found)


def _in_force(seen: Seen, found: Registration) -> NextStep:
    """Return that the handler is proved; a policy that is not in force is said all the same.

    Where none of the cluster's was in force before, the default is: it enforces, and pods that
    were to be looked at first must not meet it.
    """
    if why := _policy_problem(seen):
        return NextStep(NOTHING, POLICY_REFUSED, why, is_ready=seen.policy_in_force is not None)
    if found.word == OTHER_FILES:
        return NextStep(NOTHING, DRIFTED, found.drift, is_ready=True)
    return NextStep(NOTHING, READY, is_ready=True)


def remove(seen: Seen) -> NextStep:
    """Return what to do next to take everything off.

    While a container needs the handler, the handler stays and the RuntimeClass selects the node: a
    kubelet that starts rejects running pods whose selector the node does not meet. After that the
    node loses its label, is looked at once more, as a pod may have come meanwhile, and everything
    is removed.
    """
    if not seen.engine.is_known:
        return NextStep(NOTHING, REMOVING, NO_VERSION, is_ready=False)
    if seen.release is None:
        return NextStep(NOTHING, REMOVED, seen.left, is_ready=False, is_installed=False)
    if seen.needed is None:
        return NextStep(LOOK, "")
    selected: bool | None = seen.record.was_ready or None
    if seen.needed:
        why = seen.left or seen.needed
        return NextStep(NOTHING, REMOVING, why, is_ready=False, is_installed=selected)
    if seen.left:
        selected = None if seen.is_offered else False
        return NextStep(NOTHING, REMOVING, seen.left, is_ready=False, is_installed=selected)
    if seen.is_offered:
        return NextStep(WITHDRAW, "")
    if seen.engine.name and seen.registration is None:
        return NextStep(LOOK, "")
    if seen.registration and seen.registration.word != ABSENT:
        return _unless_failed(seen, NextStep(UNREGISTER, "", is_ready=False, is_installed=False))
    return NextStep(UNINSTALL, "")


def engine(runtime_version: str) -> NodeEngine:
    """Return the engine of a node's containerRuntimeVersion, which has none while it is down."""
    if runtime_version.partition("://")[2].lower() in ("", "unknown"):
        return NodeEngine(is_known=False)
    found = re.fullmatch(r"([a-z-]{1,32})://([\w.+~-]{1,64})", runtime_version)
    names = ENGINES.get(found[1]) if found else None
    shown = runtime_version if found else "something unknown"
    if not found or not names:
        needs = "containerd or CRI-O"
    else:
        numbers = re.match(r"v?(\d{1,9})\.(\d{1,9})", found[2])  # one without is taken as it is
        if not numbers or (int(numbers[1]), int(numbers[2])) >= names.oldest:
            return NodeEngine(names.name, found[2])
        needs = f"{names.name} {'.'.join(map(str, names.oldest))} or newer"
    return NodeEngine(obstacle=f"this node's container engine is {shown}; runc-wrap needs {needs}")
