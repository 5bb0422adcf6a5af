"""The containers that need a handler, by all that knows of them.

Some need the name in the engine's configuration (Engine.needing), some its path (Engine.calling).
"""

from collections.abc import Callable, Iterable, Iterator

from runc_wrap.engines import engine_registry
from runc_wrap.engines.dependent_container import Dependent, Unknown, of_handler
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.node.paths import Places


def needed(where: Where, handler: str) -> tuple[list[Dependent], list[str]]:
    """Return the containers that need a handler's name, and what is not known or certain.

    What users run by their own Podman is named only: any user could start such a container.
    """
    users = engine_registry.ENGINES[where.engine].of_users(handler)
    return _known(handler, users, lambda: needing(where, handler))


def called_by_path(places: Places, handler: str) -> tuple[list[Dependent], list[str]]:
    """Return the containers for which PREFIX/bin/HANDLER is called, and what is not certain."""
    users = [one for each in engine_registry.ENGINES.values() for one in each.of_users(handler)]
    return _known(handler, users, lambda: calling(places, handler))


def needing(where: Where, handler: str) -> list[Dependent]:
    """Return the containers that need the name of a handler in this configuration.

    Raises Unknown.
    """
    return _once(engine_registry.at(where.engine, where.config).needing(where.bin_dir / handler))


def calling(places: Places, handler: str) -> list[Dependent]:
    """Return the containers for which the path PREFIX/bin/HANDLER is called.

    Raises OSError for a ledger that cannot be read, and Unknown.
    """
    return _once(_calling(places, handler))


def _calling(places: Places, handler: str) -> Iterator[Dependent]:
    path, known = places.wrapper.with_name(handler), set()
    for engine in engine_registry.ENGINES.values():
        for id_, container in engine.calling(path):
            known.add(id_)
            yield container
    yield from (one for one in of_handler(places, handler) if one.name not in known)


def _known(
    handler: str, users: Iterable[Dependent], find: Callable[[], list[Dependent]]
) -> tuple[list[Dependent], list[str]]:
    named = [f"{each} needs {handler}" for each in sorted(set(users))]
    try:
        return find(), named
    except Unknown as unknown:
        return [], [*named, f"there may be containers that need {handler}, as {unknown}"]


def _once(found: Iterable[Dependent]) -> list[Dependent]:
    """Return each container once, with its state if any source has it.

    Raises Unknown only without any: what is found is certain, whatever is not known beside it.
    """
    known: list[Dependent] = []
    try:
        known.extend(found)
    except Unknown:
        if not known:
            raise
    by_name = {(one.engine, one.name): one for one in sorted(known)}
    return sorted(by_name.values())
