"""What a shell completes beside commands and options: names of this node's profiles and workloads.

A shell puts a completion on the command line as it is. Workloads name themselves, so a name that
some shell would not take for one plain word is not offered.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from runc_wrap.hotpath.decision import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.ledger import reader
from runc_wrap.node import paths
from runc_wrap.profiles import builtin
from runc_wrap.profiles.json_profiles import profile_files
from runc_wrap.profiles.model import ProfileError
from runc_wrap.report import workloads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import click

_PLAIN = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_./+-]{0,200}"
).fullmatch  # bash breaks words at : and @
_MOST = 200
_LARGEST = 256 * 1024  # bytes of each file of the ledger, its end
_LONG, _SHORT = 64, 12  # characters of an engine's id, and of how it shows one


def profiles(context: click.Context, _argument: click.Parameter, begun: str) -> list[str]:
    """Return the names of profiles that begin so."""
    try:
        own = sorted(profile_files.beneath(_places(context).profiles))
    except (ProfileError, OSError):
        own = []
    names = [RUNTIME_DEFAULT, *builtin.names(), *(LOCALHOST + path for path in own)]
    return _offered(names, begun)


def named_workloads(context: click.Context, _argument: click.Parameter, begun: str) -> list[str]:
    """Return the names of workloads, and their containers' ids, that begin so: the newest."""
    return _offered(_workloads(_places(context)), begun)


def _workloads(places: paths.Places) -> Iterator[str]:
    try:
        records = reader.read(places.ledger, _LARGEST).records.values()
    except OSError:  # it is root's
        return
    for record in reversed(records):
        if record.is_injected:
            yield workloads.of(record).name
            yield record.id[:_SHORT] if len(record.id) == _LONG else record.id


def _offered(names: Iterable[str], begun: str) -> list[str]:
    found = (name for name in dict.fromkeys(names) if name.startswith(begun) and _PLAIN(name))
    return sorted(islice(found, _MOST))


def _places(context: click.Context) -> paths.Places:
    """Return the installation; completing does not run the root command, which finds it."""
    prefix = context.find_root().params.get("prefix")
    return paths.Places(prefix.absolute()) if prefix else paths.installed()
