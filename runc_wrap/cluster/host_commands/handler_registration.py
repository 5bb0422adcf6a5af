"""How our handler is registered on the node, in a word of next_step: by `engine status --json`."""

from __future__ import annotations

from typing import Any

from runc_wrap.cluster import next_step
from runc_wrap.cluster.next_step import Registration
from runc_wrap.documents.reader import record, taken


@record
class _Handler:
    """What `engine status` says of one handler; null: not known."""

    handler: str = ""
    configured: bool | None = None
    in_force: bool | None = None
    upgraded: bool = False
    gone: bool = False


@record
class _Engine:
    """What `engine status` says of one engine; `transaction` is none, or not over."""

    engine: str = ""
    config: str = ""
    handlers: tuple[_Handler, ...] = ()
    transaction: Any = None
    drift: tuple[str, ...] = ()


def of(document: object, engine: str, config: str = "") -> Registration:
    """Return what `engine status --json` says of our handler. Raises DocumentError.

    `config` is the engine's configuration if it has to be that one.
    """
    for one in taken(list[_Engine], document):
        if one.engine == engine and config in ("", one.config):
            drift = "; ".join(one.drift)
            ours = [each for each in one.handlers if each.handler == next_step.HANDLER]
            words = [next_step.INTERRUPTED if one.transaction else _word(each, drift)
                     for each in ours]  # fmt: skip
            return Registration(words[0], drift) if words else Registration()
    return Registration()


def _word(found: _Handler, drift: str) -> str:
    if found.gone:
        return next_step.GONE
    if found.configured is False or found.in_force is False:
        return next_step.CHANGED
    if found.upgraded:
        return next_step.UPGRADED
    if found.configured is None and drift:  # as a configuration that does not parse
        return next_step.UNREADABLE
    is_in_force = found.configured and found.in_force
    return next_step.OTHER_FILES if is_in_force and drift else next_step.IN_FORCE
