"""What a node must have before anything is installed on it: asked on the host, changing nothing.

It runs from the archive that the pod copied into PREFIX/var/cluster. No release is in force yet, or
an older one, which does not know what this one needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runc_wrap.engines import engine_registry
from runc_wrap.engines.handler import EngineError
from runc_wrap.node import installed_programs, seccomp_features
from runc_wrap.policy.compiler_facts import PolicyError
from runc_wrap.policy.settings import settings_reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runc_wrap.engines.engine_class import Engine
    from runc_wrap.node.paths import Places

_FILTERS = "errno"  # an action that every kernel with filters has
_NAMED = "--engine-config=FILE in the args of the DaemonSet's container"


def problems(places: Places, engine: str, config: Path | None) -> Iterator[str]:
    """Yield why runc-wrap cannot be installed here with this engine, a sentence each.

    `config` names the engine's configuration on a node with several.
    """
    if _FILTERS not in seccomp_features.of_kernel("actions_avail"):
        yield "this kernel reports no support for filters (CONFIG_SECCOMP_FILTER)"
    yield from _without_runtime(places)
    detected = [] if config else engine_registry.ENGINES[engine].detect()
    if len(detected) > 1:
        yield f"this node has {' and '.join(map(str, detected))}: {_NAMED} says which one"
        return
    given = engine_registry.at(engine, config or engine_registry.ENGINES[engine].usual)
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
        installed_programs.find_runtime(
            installed_programs.default_runtimes(places.runtime) if written is None else written
        )
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
