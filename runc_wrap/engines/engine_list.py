"""What `engine list` shows: the engines of this node, and the handlers registered with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runc_wrap.engines import engine_registry

if TYPE_CHECKING:
    from runc_wrap.engines.engine_class import Engine
    from runc_wrap.engines.handler import Handler
    from runc_wrap.engines.registration.registration_state import Registered

Json = dict[str, Any]


def survey(states: list[Registered]) -> list[Json]:
    """Return [{engine, binary, version, found: [_found, ...], registered: [_row, ...]}].

    `binary` and `version` are of the first one found.
    """
    return [_surveyed(engine, states) for engine in engine_registry.ENGINES]


def _surveyed(engine: str, states: list[Registered]) -> Json:
    own = [state for state in states if state.engine == engine]
    found = [_found(each) for each in engine_registry.ENGINES[engine].detect()]
    first = found[0] if found else {"binary": None, "version": None}
    return {
        "engine": engine,
        "binary": first["binary"],
        "version": first["version"],
        "found": found,
        "registered": [_row(state, each) for state in own for each in state.handlers],
    }


def _found(each: Engine) -> Json:
    return {
        "config": str(each.config),
        "binary": str(each.binary) if each.binary else None,
        "version": each.version,
        "distribution": each.flavour or None,
        "unit": each.unit or None,
        "socket": str(each.socket) if each.socket else None,
    }


def _row(state: Registered, one: Handler) -> Json:
    shows = engine_registry.at(state.engine, state.config).shows(one)
    rest = {"path": one.path, "default": one.default, "in_force": shows}
    return {"config": str(state.config), "handler": one.name, **rest}
