"""Refuses configs that JSON decoders read differently.

Go's decoder, and so runc, also accepts a name that differs from a known one only in case, and
merges a name given twice; crun takes the exact name and one of the two. If the name decides on
confinement, such a config is refused: whichever we read, the runtime might read the other.
"""

from runc_wrap.hotpath import json_codec
from runc_wrap.hotpath.errors import Refusal, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

# path of an object -> the names in it on which decisions depend
DECISIVE = {
    (): ("linux", "annotations", "process", "mounts"),
    ("linux",): ("seccomp", "maskedPaths", "readonlyPaths", "resources"),
    ("linux", "seccomp"): ("defaultAction", "syscalls"),
    ("linux", "resources"): ("devices",),
    ("process",): ("capabilities",),
    ("process", "capabilities"): ("bounding",),
}


def parsed(text: bytes) -> "Json":
    """Return the config as a plain dict that every runtime reads alike. Raises Refusal."""
    try:
        config = json_codec.loads(text)
    except json_codec.Unreadable as error:
        raise Refusal(f"config.json is not valid JSON: {error}.") from None
    if not isinstance(config, dict):
        raise Refusal("config.json is not a JSON object.")
    check_case(config)
    check_twice(text, config)
    return config


def check_case(config: "Json") -> None:
    """Raise Refusal for a name that differs from a decisive one only in case."""
    for path, wanted in DECISIVE.items():
        found = _at(config, path)
        if found.keys() <= set(wanted):
            continue
        folded = {name.casefold(): name for name in wanted}
        for name in found:
            meant = folded.get(name.casefold(), name)
            if meant != name:
                raise Refusal(
                    f"config.json has {quoted(name)} instead of {quoted(meant)}: runc accepts it "
                    "and crun does not. Write the name as in the OCI runtime-spec."
                )


def check_twice(text: bytes, config: "Json") -> None:
    r"""Raise Refusal for a decisive name that occurs twice in one object of the text.

    If a name was written twice but read once, `config` serialised again has fewer quotes than
    `text`, unless quotes are written as \u0022: such a text is parsed again, more slowly.
    """
    if b"\\u0022" not in text and text.count(b'"') == _quotes(config):
        return
    again = json_codec.loads_with(_Repeats, text)
    for path, wanted in {**DECISIVE, ("annotations",): None}.items():
        found = _at(again, path)
        repeats = found.repeated if isinstance(found, _Repeats) else ()
        for name in repeats:
            if wanted is None or name in wanted:
                raise Refusal(
                    f"config.json has {quoted(name)} twice in one object, and runtimes differ in "
                    "which of the two they use. Write it once."
                )


def _quotes(config: "Json") -> int:
    try:
        return json_codec.dumps(config).count(b'"')
    except json_codec.Unreadable:  # it was parsed, but is nested too deeply for orjson to write
        return -1


def check_nul(text: bytes) -> None:
    """Raise Refusal for a NUL: crun compares names as C strings, which end at it."""
    if b"\\u0000" in text:
        raise Refusal("config.json has a NUL character, at which crun would end a name.")


class _Repeats(dict):  # type: ignore[type-arg]  # dict[str, Any] cannot be subscripted at no cost
    """An object that records which of its names occurred more than once."""

    def __init__(self, pairs: "list[tuple[str, Any]]") -> None:
        super().__init__(pairs)
        names = [name for name, _ in pairs]
        self.repeated = (
            [name for name in self if names.count(name) > 1] if len(names) > len(self) else []
        )


def _at(config: "Json", path: "tuple[str, ...]") -> "Json":
    found: object = config
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
