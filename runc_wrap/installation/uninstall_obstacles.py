"""Who still needs an installation that uninstall would remove.

Containers in observe, whose calls its service answers; services that systemd did not start; engines
that call a name in PREFIX/bin for a container, or have it in memory or in a configuration.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.engines import dependent_container, engine_registry, handler_users
from runc_wrap.engines.engine_class import NOTHING
from runc_wrap.engines.handler import DEFAULT_NAME
from runc_wrap.engines.registration import registration_plan, registration_state
from runc_wrap.host import files, locks, procfs, runtime_state
from runc_wrap.installation import links
from runc_wrap.installation.services import SERVICES
from runc_wrap.ledger import whole_ledger
from runc_wrap.node.paths import Places

_BY_HAND = ("/etc/crio", "/etc/containers", "/etc/containerd", "/etc/docker")
_LARGEST = 4 << 20  # bytes of an engine's file


def observed(places: Places) -> str:
    """Return which running containers have to end first: the agent answers their calls."""
    found = []
    for key, one in whole_ledger.read(places.ledger).records.items():
        if one.has_listener:
            first = runtime_state.first_process(key)
            if first and procfs.started(first[0]) == first[1]:
                found.append(one.id)
    if not found:
        return ""
    return (
        f"{safe_text.number(len(found), 'container')} in mode observe, or recorded: "
        f"{', '.join(found[:5])}. Without the service, calls that it answers fail with ENOSYS, and "
        "they cannot be entered. Stop them first"
    )


def foreground(places: Places) -> str:
    """Return which services have to end first: no unit of systemd started them.

    Only they hold the lock (agent.service_lifecycle): systemd sees to it that a unit's runs once.
    Raises OSError.
    """
    holders = {name: locks.held_by(places.agent / f"{name}.lock") for name in SERVICES}
    found = [f"{name} by {who}" for name, who in holders.items() if who]
    if not found:
        return ""
    return (
        f"{safe_text.number(len(found), 'service')} of the agent that systemd did not start would "
        f"go on from removed files: {', '.join(found)}. Stop each where it is supervised, or end it"
    )


def calls(places: Places) -> tuple[dict[str, str], list[str]]:
    """Return {name in PREFIX/bin: why an engine will call it}, and what is not certain."""
    why: dict[str, str] = {}
    unsure: list[str] = []
    in_memory: dict[str, list[str]] = {}
    for name, why_kept in _in_memory(places, unsure):
        in_memory.setdefault(name, []).append(why_kept)
    for name in names(places):
        containers, more = handler_users.called_by_path(places, name)
        unsure += [each for each in more if each not in unsure]
        if containers:
            why[name] = dependent_container.counted(containers)
        elif name in in_memory:
            why[name] = " and ".join(in_memory[name])
        elif file := _named_by_hand(places, name):
            why[name] = f"{file} names it; remove that by hand and restart the engine"
    return why, unsure


def names(places: Places) -> list[str]:
    """Return the names in PREFIX/bin by which engines call us."""
    directory = places.wrapper.parent
    entries = sorted(directory.iterdir()) if directory.is_dir() else []
    is_ours = registration_plan.is_our_link
    return [each.name for each in entries if each.name == DEFAULT_NAME or is_ours(each)]


def _in_memory(places: Places, unsure: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each name that an engine which runs has read from its files, and has not forgotten."""
    states = registration_state.states(places.engines)
    registered = {(state.engine, state.config): state for state in states}
    for each in engine_registry.detected():
        if each.binary is None or each.reload() == NOTHING:  # it reads its files by itself
            continue
        state = registered.get((each.name, each.config))
        running = each.running()
        if running is None and state is not None:
            if why := each.silence():
                unsure.append(f"{each} does not answer: {why}")
            else:
                unknown = f"{each} does not tell which handlers it has"
                yield from ((name, unknown) for name in state.names)
        for name in names(places):
            paths = _paths(places, name)
            if any(path in paths for path in (running or {}).values()):
                yield name, f"{each} has it in memory"


def _paths(places: Places, name: str) -> list[str]:
    """Return the paths by which an engine may call a name: its own, and links that lead to it."""
    own = str(places.wrapper.with_name(name))
    return [own, *(str(link) for link, to in links.own(places.prefix).items() if to == own)]


def _named_by_hand(places: Places, name: str) -> str:
    """Return a configuration file with our path that `engine add` did not write."""
    paths = "|".join(re.escape(path) for path in _paths(places, name))
    path = re.compile(rf"(?:{paths})(?![\w-])")
    ours = {file for state in registration_state.states(places.engines) for file in state.files}
    for directory in _BY_HAND:
        for file in sorted(Path(directory).rglob("*")):
            if str(file.resolve()) in ours or not file.is_file():
                continue
            if path.search(files.text(file, _LARGEST, follows=True) or ""):
                return str(file)
    return ""
