"""The built-in profiles, by the names that operators write.

    containerd    containerd@1.7.24     moby    moby@26.1.5 (the version is Docker Engine's)
    containers-common    containers-common@0.62.2    crio    crio@1.30

A name without a version means the newest known one. `load` also takes that for every newer one,
since an engine's next release mostly keeps its profile; `check_known` refuses those.
"""

from runc_wrap.profiles.engine_defaults.containerd import CONTAINERD
from runc_wrap.profiles.engine_defaults.containers_common import CONTAINERS_COMMON
from runc_wrap.profiles.engine_defaults.crio import CRIO
from runc_wrap.profiles.engine_defaults.moby import MOBY
from runc_wrap.profiles.engine_versions import parse
from runc_wrap.profiles.source_profile import Profile, ProfileError

_SOURCES = {one.name: one for one in (CONTAINERD, MOBY, CONTAINERS_COMMON, CRIO)}


def names() -> list[str]:
    """Return the names of the built-in profiles, without versions."""
    return sorted(_SOURCES)


def oldest(name: str) -> str:
    """Return the oldest known version of a built-in profile; `name` is one of names()."""
    return _SOURCES[name].oldest


def deciding_capabilities() -> frozenset[str]:
    """Return the capabilities on which the newest default of some engine depends."""
    rules = [rule for name in names() for rule in load(name).rules]
    return frozenset(cap for rule in rules for cap in (*rule.includes.caps, *rule.excludes.caps))


def load(spec: str) -> Profile:
    """Return the built-in profile named by a spec: NAME or NAME@VERSION, as above.

    Raises ProfileError for an unknown name and for a version older than the oldest known.
    """
    name, at_sign, text = spec.partition("@")
    if spec.startswith("@"):
        raise ProfileError(f"{spec} is no profile; add a group to one: runtime-default + {spec}")
    source = _SOURCES.get(name)
    if source is None:
        signs = "; write blanks on both sides of each + and -" * bool({*name} & {"+", " "})
        raise ProfileError(
            f"no built-in profile is called {name!r}; there are: {', '.join(names())}{signs}"
        )
    known = source.known()
    newest = max(known)
    version = min(parse(text, known), newest) if at_sign else newest
    if version < parse(source.oldest):
        where = f"older than the built-in profiles, {source.oldest} to {newest}"
        raise ProfileError(f"{name} {version} is {where}; write {name}@{source.oldest}")
    return source.at(version)


def check_known(name: str) -> None:
    """Raise ProfileError for a built-in profile, or one composed of it, of an unread series."""
    for word in name.split():
        one, _, text = word.partition("@")
        source = _SOURCES.get(one)
        if source is None or not text[:1].isdecimal():  # others are captured, or this node's
            continue
        newest = max(source.known())
        version = parse(text, source.known())
        if version[:2] > newest[:2]:
            where = f"newer than the built-in profiles, {source.oldest} to {newest}"
            raise ProfileError(f"{one} {version} is {where}; write {one}@{newest}")
