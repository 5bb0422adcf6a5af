"""What the installer does next on a node, and in which state it says that the node is.

Decided from what was seen, and nothing else. A change is made only where there is one to make; what
somebody else changed is reported; what failed is not tried again before its time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from runc_wrap.host import engine_names

# What to do
INSTALL, POLICY, REGISTER, PROVE = "install", "policy", "register", "prove"
LOOK, NOTHING = "look", "nothing"
# The states, each one word in the node's annotation
INSTALLING, READY, WAITING, REFUSED = "installing", "ready", "waiting", "refused"
DRIFTED = "drifted"  # ready, but what is in force is not what the files say
FAILED, REVERTED, EDITED, POLICY_REFUSED = "failed", "reverted", "edited", "policy-refused"
UNPROVED = "unproved"  # the handler is in force, and its canary failed; nothing was taken back
REMOVING, REMOVED = "removing", "removed"
STATES = (INSTALLING, READY, WAITING, REFUSED, DRIFTED, FAILED, REVERTED, EDITED, POLICY_REFUSED,
          UNPROVED, REMOVING, REMOVED)  # fmt: skip
WELL = frozenset((READY, DRIFTED))  # there is nothing to do, and pods run as they should

OTHER_RELEASE = "another release was installed by hand; it is left as it is"
HANDLER = "runc-wrap"
ENGINES = {each.kubelet: each for each in engine_names.KNOWN.values() if each.kubelet}
FIRST_PAUSE, LONGEST_PAUSE = 600.0, 86400.0  # seconds before what failed is tried again
NO_VERSION = "the engine does not tell the kubelet its version now; it is asked again"


@dataclass(frozen=True)
class Registration:
    """What `engine status` says of our handler with the node's engine.

    `is_gone`: the engine's files do not have it at all, though it was registered.
    """

    is_registered: bool = False
    is_configured: bool | None = None
    is_in_force: bool | None = None
    is_upgraded: bool = False
    is_interrupted: bool = False
    drift: str = ""
    is_gone: bool = False


@dataclass(frozen=True)
class Attempt:
    """The last attempt that failed: of which step and key, when, and for the how-many-th time."""

    step: str
    key: str
    at: float
    count: int
    word: str
    reason: str

    @property
    def again(self) -> float:
        """Return when it may be tried again."""
        return self.at + min(FIRST_PAUSE * (1 << min(self.count - 1, 16)), LONGEST_PAUSE)


@dataclass(frozen=True)
class Seen:
    """What was seen; `wanted` and `policy` are digests.

    `wanted` is the image's archive, `installed` the one that was installed, `proved` the one that a
    canary proved, `policy` the mounted files. `machine` names the engine and the kernel, on which
    the compiled policy depends; `policy_machine` are those that it was compiled for. `boot` is this
    boot, `well_boot` the one in which the handler was in force last, "" if it was edited since.
    `handlers` is None where the kubelet lists none. `is_engine_known` is False while the engine
    does not answer the kubelet: then nothing depends on its version, and nothing is begun.
    """

    now: float
    obstacle: str
    wanted: str
    installed: str | None
    proved: str | None
    is_other_release: bool
    policy: str
    policy_in_force: str | None
    machine: str
    policy_machine: str
    policy_problem: str
    policy_edit: str
    engine_version: str
    boot: str
    well_boot: str
    registration: Registration | None
    handlers: frozenset[str] | None
    attempts: tuple[Attempt, ...] = ()  # at most one of each step
    is_engine_known: bool = True


@dataclass(frozen=True)
class Decision:
    """What to do, the state to show and why; `is_ready` is None where the label stays as it is."""

    step: str
    word: str
    why: str = ""
    is_ready: bool | None = None


def key_of(seen: Seen, step: str) -> str:
    """Return what an attempt of a step depends on: another one is tried at once if it differs."""
    more = {
        INSTALL: seen.policy,  # which may name the runtime that was missing
        REGISTER: seen.engine_version,
        PROVE: seen.engine_version,
        POLICY: f"{seen.policy} {seen.machine}",
    }.get(step, "")
    return f"{seen.wanted} {more}".strip()


def decide(seen: Seen) -> Decision:
    """Return what to do next."""
    if not seen.is_engine_known:
        return Decision(NOTHING, WAITING, NO_VERSION)
    if seen.obstacle:
        return Decision(NOTHING, REFUSED, seen.obstacle, is_ready=False)
    if seen.installed == seen.wanted:
        return _of_installed(seen)
    found = _unless_failed(seen, Decision(INSTALL, INSTALLING, is_ready=_kept(seen)))
    waits = found.step == NOTHING and seen.installed
    return _beside(found, _of_installed(seen)) if waits else found


def _beside(failed: Decision, found: Decision) -> Decision:
    """Return what to do with an earlier release while the installation of another one waits.

    That has failed is shown, unless the earlier one is not in force, or has something to be done.
    """
    if found.step != NOTHING or found.is_ready is False:
        return found
    why = "; ".join(filter(None, (failed.why, found.why)))
    return Decision(NOTHING, failed.word, why, is_ready=found.is_ready)


def _of_installed(seen: Seen) -> Decision:
    """Return what to do with the release that is installed."""
    if seen.is_other_release:
        return Decision(NOTHING, EDITED, OTHER_RELEASE, is_ready=_kept(seen))
    if not _is_compiled(seen) and not (seen.policy_edit or _policy_problem(seen)):
        return Decision(POLICY, INSTALLING)
    if seen.registration is None:
        return Decision(LOOK, INSTALLING)
    return _registered(seen, seen.registration)


def _kept(seen: Seen) -> bool | None:
    """Return that the label stays where a release is in force, and that there is none otherwise."""
    return None if seen.installed else False


def _is_compiled(seen: Seen) -> bool:
    """Tell whether the mounted policy is in force, compiled for the engine and kernel that run."""
    return (seen.policy, seen.machine) == (seen.policy_in_force, seen.policy_machine)


def _policy_problem(seen: Seen) -> str:
    """Return why the mounted policy is not put in force, "" if that is to be tried."""
    if _is_compiled(seen):
        return ""
    last = _failed(seen, POLICY)
    return seen.policy_problem or (last.reason if last else "")


def _failed(seen: Seen, step: str) -> Attempt | None:
    """Return the failed attempt of a step whose time has not come again, None without one."""
    for last in seen.attempts:
        if last.step == step and last.key == key_of(seen, step) and seen.now < last.again:
            return last
    return None


def _unless_failed(seen: Seen, decision: Decision) -> Decision:
    """Return the decision, or that it has failed and waits for its time."""
    last = _failed(seen, decision.step)
    if last is None:
        return decision
    is_ready = False if last.word in (REVERTED, UNPROVED) else decision.is_ready
    return Decision(NOTHING, last.word, last.reason, is_ready=is_ready)


def _registered(seen: Seen, found: Registration) -> Decision:
    if found.is_interrupted or not found.is_registered:
        return _unless_failed(seen, Decision(REGISTER, INSTALLING, is_ready=False))
    if found.is_gone and seen.well_boot not in ("", seen.boot):  # as nodeadm does at each boot
        return _unless_failed(seen, Decision(REGISTER, INSTALLING, found.drift, is_ready=False))
    if found.is_configured is False or found.is_in_force is False:
        return Decision(NOTHING, EDITED, found.drift, is_ready=False)
    if found.is_upgraded:
        return _unless_failed(seen, Decision(PROVE, INSTALLING, found.drift))
    if found.is_configured is None and found.drift:  # as a configuration that does not parse
        return Decision(NOTHING, EDITED, found.drift)
    if seen.proved != seen.installed:
        return _unless_failed(seen, Decision(PROVE, INSTALLING))
    if seen.handlers is not None and HANDLER not in seen.handlers:
        why = f"the kubelet does not list the handler {HANDLER} yet"
        return Decision(NOTHING, WAITING, why, is_ready=False)
    return _in_force(seen, found)


def _in_force(seen: Seen, found: Registration) -> Decision:
    """Return that the handler is proved; a policy that is not in force is said all the same.

    Where none of the cluster's was in force before, the default is: it enforces, and pods that
    were to be looked at first must not meet it.
    """
    if seen.policy_edit:
        return Decision(NOTHING, EDITED, seen.policy_edit, is_ready=True)
    if why := _policy_problem(seen):
        return Decision(NOTHING, POLICY_REFUSED, why, is_ready=seen.policy_in_force is not None)
    if found.is_configured and found.is_in_force and found.drift:
        return Decision(NOTHING, DRIFTED, found.drift, is_ready=True)
    return Decision(NOTHING, READY, is_ready=True)


def registration(document: Any, engine: str, config: str = "") -> Registration:  # noqa: ANN401
    """Return what `engine status --json` says of our handler; nothing of what it does not say.

    `config` is the engine's configuration if it has to be that one.
    """
    for one in document if isinstance(document, list) else []:
        if not isinstance(one, dict) or one.get("engine") != engine:
            continue
        if config in ("", one.get("config")):
            return _of_engine(one)
    return Registration()


def _of_engine(one: dict[str, Any]) -> Registration:
    ours = [each for each in one.get("handlers") or [] if each.get("handler") == HANDLER]
    waiting = one.get("transaction") or {}
    drift = "; ".join(str(each) for each in one.get("drift") or [])
    if not ours:
        return Registration(is_interrupted=bool(waiting))
    return Registration(
        is_registered=True,
        is_configured=ours[0].get("configured"),
        is_in_force=ours[0].get("in_force"),
        is_upgraded=bool(ours[0].get("upgraded")),
        is_interrupted=bool(waiting),
        drift=drift,
        is_gone=bool(ours[0].get("gone")),
    )


def is_known(runtime_version: str) -> bool:
    """Tell whether containerRuntimeVersion says a version: none while the engine is down."""
    return runtime_version.partition("://")[2].lower() not in ("", "unknown")


def engine(runtime_version: str) -> tuple[str, str, str]:
    """Return (engine, version, why it cannot be installed with) from containerRuntimeVersion."""
    found = re.fullmatch(r"([a-z-]{1,32})://([\w.+~-]{1,64})", runtime_version)
    names = ENGINES.get(found[1]) if found else None
    shown = runtime_version if found else "something unknown"
    if not found or not names:
        needs = "containerd or CRI-O"
    elif _is_older(found[2], names.oldest):
        needs = f"{names.name} {'.'.join(map(str, names.oldest))} or newer"
    else:
        return names.name, found[2], ""
    return "", "", f"this node's container engine is {shown}; runc-wrap needs {needs}"


def _is_older(version: str, oldest: tuple[int, int]) -> bool:
    """Tell whether a version's first two numbers are less; False without such numbers."""
    found = re.match(r"v?(\d{1,9})\.(\d{1,9})", version)
    return found is not None and (int(found[1]), int(found[2])) < oldest
