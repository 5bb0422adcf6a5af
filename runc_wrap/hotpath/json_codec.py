"""JSON: the only module that imports orjson, its fallback, and the digest of a block.

orjson looks up uuid.UUID, enum.EnumMeta, dataclasses._FIELD and json.JSONDecodeError while it is
imported (orjson src/typeref.rs); the modules behind them cost more than the rest of a create. We
pass it only dicts, lists, strings and numbers, so empty stand-ins suffice. Of datetime it uses only
the C half, which replaces the whole. `hashlib` looks for OpenSSL and costs milliseconds; the module
behind it does not.
"""

import sys
from _frozen_importlib import ModuleSpec
from _imp import create_dynamic, exec_dynamic, extension_suffixes

try:
    from _blake2 import (
        blake2b,
    )
except ImportError:  # an interpreter built without it
    from hashlib import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Codec = tuple[Callable[[bytes], Any], Callable[[Any], bytes]]


# orjson's exception lives in its module only: if the module were freed, the next text that is not
# JSON would raise whatever then lies in that memory.
_kept: "list[Any]" = []


class Unreadable(ValueError):
    """The text is not JSON by RFC 8259; the message says what is wrong and where."""


def _stand_ins() -> "dict[str, Any]":
    module = type(sys)
    needed: dict[str, dict[str, Any]] = {
        "uuid": {"UUID": type("UUID", (), {})},
        "enum": {"EnumMeta": type("EnumMeta", (type,), {})},
        "dataclasses": {"_FIELD": object()},
        "json": {"JSONDecodeError": type("JSONDecodeError", (ValueError,), {})},
    }
    made = {name: module(name) for name in needed if name not in sys.modules}
    for name, stand_in in made.items():
        stand_in.__dict__.update(needed[name])
    if "datetime" not in sys.modules:
        import _datetime  # type: ignore[import-not-found]  # noqa: PLC0415 - typeshed lacks it

        made["datetime"] = _datetime
    return made


def _orjson() -> "Codec":
    stand_ins = _stand_ins()
    sys.modules.update(stand_ins)
    try:
        orjson = _beside_us() or _imported()
    finally:
        for name in stand_ins:
            del sys.modules[name]
    return orjson.loads, orjson.dumps


def _beside_us() -> "Any":
    """Load orjson from where install.sh puts it, or return None: a search costs 0.2 ms."""
    directory = __file__.rpartition("/runc_wrap/")[0]
    path = f"{directory}/orjson/orjson{extension_suffixes()[0]}"
    try:
        module = create_dynamic(ModuleSpec("orjson.orjson", None, origin=path))
        exec_dynamic(module)
    except ImportError:
        return None
    _kept.append(module)
    return module


def _imported() -> "Any":
    import orjson  # noqa: PLC0415 - only with the stand-ins in place

    return orjson


def _standard_library() -> "Codec":
    import json  # noqa: PLC0415 - ten times as slow as orjson; only if orjson does not load

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is not a JSON value")

    def decode(text: bytes) -> object:
        value = json.loads(text.decode("utf-8"), parse_constant=no_constant)
        encode(value)  # refuses lone surrogates, as orjson does
        return value

    def encode(value: object) -> bytes:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")

    return decode, encode


try:
    _decode, _encode = _orjson()
    NAME = "orjson"
except Exception:  # noqa: BLE001 - whatever is wrong with orjson must not stop a node
    _decode, _encode = _standard_library()
    NAME = "json"


def loads(text: bytes) -> "Any":
    """Parse one JSON document. Raises Unreadable."""
    try:
        return _decode(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(_without_the_text(error)) from None


def _without_the_text(error: Exception) -> str:
    """Return what is wrong and where: both decoders' errors contain the text, secrets included."""
    position = getattr(error, "pos", error.args[2] if len(error.args) > 2 else None)  # noqa: PLR2004 - (message, text, position)
    where = f" at character {position}" if isinstance(position, int) else ""
    message = getattr(error, "msg", error.args[0] if error.args else "")
    return f"{message if isinstance(message, str) else type(error).__name__}{where}"


def loads_with(make_object: "Callable[[list[tuple[str, Any]]], Any]", text: bytes) -> "Any":
    """Parse what `loads` accepted, each object made from its (name, value) pairs as written.

    Only the standard library can do that; texts that engines write do not need it.
    """
    import json  # noqa: PLC0415 - see above

    return json.loads(text, object_pairs_hook=make_object)


def dumps(value: "Any") -> bytes:
    """Serialise compactly, keys in the order they have. Raises Unreadable if nested too deeply."""
    try:
        return _encode(value)
    except (TypeError, RecursionError):
        raise Unreadable("it is nested too deeply") from None


def digest(data: bytes, size: int = 32) -> str:
    """Return BLAKE2b of so many bytes in hexadecimal: hashlib.blake2b(data, digest_size=size)."""
    text: str = blake2b(data, digest_size=size).hexdigest()
    return text
