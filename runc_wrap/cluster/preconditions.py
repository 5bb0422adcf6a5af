"""What a node must have before an installation, and must not before a removal: asked on the host.

Asking changes nothing. Before an installation it runs from the archive that the pod copied into
PREFIX/var/cluster: no release is in force yet, or an older one, which does not know what this one
needs. Before a removal no container may need the handler, by the names that Kubernetes knows. In
doubt there are some: an engine that does not say which pods it has keeps everything in place.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from runc_wrap import safe_text
from runc_wrap.engines import dependent_container, engine_registry, handler_users, probe_container
from runc_wrap.engines.cri import cri_runtime
from runc_wrap.engines.engine_class import Engine
from runc_wrap.engines.handler import EngineError
from runc_wrap.engines.registration import registration_state
from runc_wrap.installation import uninstall_obstacles
from runc_wrap.ledger import whole_ledger
from runc_wrap.node import installed_programs, seccomp_features
from runc_wrap.node.paths import Places
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.settings import settings_reader

_FILTERS = "errno"  # an action that every kernel with filters has
_NAMED = "--engine-config=FILE in the args of the DaemonSet's container"
# a canary that was left, as cri_runtime names it: the next change of the engine removes it
_CANARY = re.compile(rf"{cri_runtime.NAMESPACE}/{probe_container.CANARY}-[0-9a-f]{{8}}").fullmatch
_MOST = 10  # names in a sentence


def obstacles(places: Places, engine: str, config: Path | None) -> Iterator[str]:
    """Yield why runc-wrap cannot be installed here with this engine, a sentence each.

    `config` names the engine's configuration on a node with several.
    """
    if _FILTERS not in seccomp_features.of_kernel("actions_avail"):
        yield "this kernel reports no support for filters (CONFIG_SECCOMP_FILTER)"
    yield from _without_runtime(places)
    kind = engine_registry.ENGINES[engine]
    detected = [] if config else kind.detect()
    if len(detected) > 1:
        yield f"this node has {' and '.join(map(str, detected))}: {_NAMED} says which one"
        return
    given = engine_registry.at(engine, config or kind.usual)
    yield from _of_engine(places, detected[0] if detected else given)


def _without_runtime(places: Places) -> Iterator[str]:
    """Yield that there is no runtime that can be used; what the policy says is for `apply`.

    A policy that names one counts for nothing if it cannot be read: then that is said, too.
    """
    written, problem = None, ""
    try:
        written = settings_reader.read(*places.sources()).written("runtime")
    except (PolicyError, OSError) as error:
        problem = f" The policy cannot be read: {error}"
    try:
        if written is None:
            written = installed_programs.default_runtimes(places.runtime)
        installed_programs.find_runtime(written)
    except (installed_programs.RuntimeNotUsable, OSError) as error:
        yield f"{error}{problem}"


def _of_engine(places: Places, found: Engine) -> Iterator[str]:
    if found.binary is None:
        yield f"the kubelet's engine is {found.name}, and none is found here: {_NAMED} names it"
        return
    try:
        found.facts(None, places.prefix)
    except EngineError as error:
        yield str(error)
    try:
        yield from filter(None, [found.off()])
    except EngineError as error:  # its own refusal follows, in its words
        yield str(error)
    if said := found.complaint():
        yield f"{found.name} refuses its configuration {found.config}: {said}"


def still_needed(places: Places) -> str:
    """Return why the handler has to stay, "" if no container needs it.

    Raises OSError.
    """
    pods = {
        record.id: f"{record.namespace}/{record.pod}"
        for record in whole_ledger.read(places.ledger).records.values()
        if record.namespace and record.pod
    }
    try:  # containerd's have its namespace before the id
        found = {pods.get(one.name.rpartition("/")[2], str(one)) for one in _dependents(places)}
    except dependent_container.Unknown as unknown:
        return f"there may be containers that need runc-wrap, as {unknown}"
    return sentence([one for one in sorted(found) if not _CANARY(one)])


def sentence(found: Sequence[str]) -> str:
    """Return what still runs, by name; "" for nothing."""
    listed = safe_text.some([*map(safe_text.name, found)], _MOST)
    return f"still started through runc-wrap: {listed}; recreate them without it" if found else ""


def _dependents(places: Places) -> Iterator[dependent_container.Dependent]:
    for where, name in registration_state.handlers(places):
        yield from handler_users.needing(where, name)
    for name in uninstall_obstacles.names(places):
        yield from handler_users.calling(places, name)
