"""The page of `report --html`: one file for a workload's owner, which needs no network.

Workloads may choose all texts in a report: they reach the template through runc_wrap.safe_text, and
there Jinja escapes them. The page's Content-Security-Policy allows its own style and script by
their hashes, and forbids everything else.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from runc_wrap import safe_text
from runc_wrap.report import matrix_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Json = dict[str, Any]

UNKNOWN = matrix_picture.UNKNOWN  # the report's null
ORDER = (*matrix_picture.WORST_FIRST, "safe")
MOST_WORKLOADS = 500  # shown one by one; the page says how many more there are
MOST_CALLS = 40  # of one workload
_MOST_PROGRAMS = 4
_MOST_ARGS = 3
_NOTICING = ("denied", "depends", "degrades")
_OPEN = 20  # up to so many workloads are shown unfolded
_MOST_WARNINGS = 20
_LONGEST_SENTENCE = 600
_LONGEST_ARGUMENT = 600  # an image's name with its digest, after a pod's
_TEMPLATES = "page.html.jinja macros.html.jinja workload.html.jinja matrix.svg.jinja".split()
_EVERYONE = ("namespace", "pod", "container", "image")


def render(report: Sequence[Json], meta: Json) -> str:
    """Return the page, a whole HTML document.

    `report` is the list of `report --json`; `meta` may have node, generated, since, until (RFC
    3339), version, policy, profiles (paths), unattributed (records of no known container), lost;
    of a fleet missing (sentences on nodes without a report), missing_count.
    """
    style, script = _text("page.css"), _text("page.js")
    page: str = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            view(report, meta),
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            style_hash=_hash(style),
            script_hash=_hash(script),
        )
    )
    return page


def view(report: Sequence[Json], meta: Json) -> Json:
    """Return the template's data, every foreign text made inert, the worst first."""
    ordered = sorted(report, key=_weight)
    shown = _meta(meta)
    workloads = [_workload(at, one, shown["profiles"]) for at, one in enumerate(ordered)]
    calm = [one for one in workloads if one["calm"]]
    listed = [one for one in workloads if not one["calm"]]
    affected = [one for one in listed if one["calls"] or one["verdict"] in _NOTICING]
    quiet = [one for one in listed if one not in affected]
    untold = [one for one in quiet if one["verdict"] == UNKNOWN]
    others = [one for one in quiet if one["verdict"] != UNKNOWN]
    counts = Counter(one["verdict"] for one in listed)
    return {
        "meta": shown,
        "total": len(listed),
        "calm": calm[:MOST_WORKLOADS],
        "enforced": len(calm),
        "counts": [(verdict, counts[verdict]) for verdict in ORDER],
        "noticing": sum(counts[verdict] for verdict in _NOTICING),
        "unknown": counts[UNKNOWN],
        "calls": sum(one["times"] for one in affected),
        "affected": affected[:MOST_WORKLOADS],
        "untold": untold[:MOST_WORKLOADS],
        "others": others[:MOST_WORKLOADS],
        "hidden": sum(
            max(0, len(one) - MOST_WORKLOADS) for one in (affected, untold, others, calm)
        ),
        "doubtful": any(c["verdict"] == UNKNOWN for one in affected for c in one["calls"]),
        "open": len(affected) <= _OPEN,
        "picture": matrix_picture.picture(affected),
        "cell": matrix_picture,
    }


def _weight(workload: Json) -> tuple[int, int, int, str]:
    counts = sum(_number(call.get("count")) for call in _calls(workload))
    names = "/".join(str(workload.get(name) or "") for name in _EVERYONE)
    return ORDER.index(_verdict(workload)), -_number(workload.get("running")), -counts, names


def _verdict(workload: Json) -> str:
    found = workload.get("verdict")
    return found if found in ORDER else UNKNOWN


def _workload(at: int, workload: Json, profiles: str) -> Json:
    calls = sorted(map(_call, _calls(workload)), key=_call_weight)
    namespace, pod, container, image = (safe_text.name(workload.get(name)) for name in _EVERYONE)
    return {
        "anchor": f"w{at + 1}",
        "verdict": _verdict(workload),
        "calm": workload.get("calm") is True,
        "name": "/".join(filter(None, (namespace, pod, container))) or image or "without a name",
        "short": container or pod or image or "without a name",
        "where": "/".join(filter(None, (namespace, pod if container else ""))),
        "image": image,
        "confidence": safe_text.name(workload.get("confidence"), _LONGEST_SENTENCE),
        "containers": _number(workload.get("containers")),
        "nodes": _number(workload.get("nodes")),
        "restarts": _number(workload.get("restarts")),
        "lost": _number(workload.get("lost")),
        "reason": safe_text.name(workload.get("reason"), _LONGEST_SENTENCE),
        "dropped": _number(workload.get("dropped")),
        "since": _moment(workload.get("since")),
        "calls": calls,
        "times": sum(call["count"] for call in calls),
        "shown": calls[:MOST_CALLS],
        "addition": safe_text.paste(workload.get("addition")),
        "rule": safe_text.paste(workload.get("rule")),
        "annotation": safe_text.paste(workload.get("annotation")),
        "warnings": _warnings(workload.get("warnings")),
        "withheld": _withheld(workload.get("withheld")),
        "command": _command(workload, profiles),
    }


def _warnings(value: object) -> list[str]:
    lines = value if isinstance(value, list) else []
    return [safe_text.name(one, _LONGEST_SENTENCE) for one in lines[:_MOST_WARNINGS]]


def _withheld(value: object) -> list[str]:
    """Return the calls that `suggest` leaves out, each with its reason."""
    calls = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    lines = [f"{one.get('syscall')}: {one.get('why')}." for one in calls[:_MOST_WARNINGS]]
    return [safe_text.name(one, _LONGEST_SENTENCE) for one in lines]


def _command(workload: Json, profiles: str) -> str:
    """Return the command that writes the profile, "" if it could not be pasted unchanged."""
    name, file = (str(workload.get(key) or "") for key in ("name", "file"))
    shown = safe_text.name(name, _LONGEST_ARGUMENT)
    whole = name and shown == name and safe_text.name(file) == file and "…" not in profiles
    if workload.get("nodes") or not (whole and file and workload.get("addition")):
        return ""  # no single node has all of a fleet's evidence
    words = ["--", name] if name.startswith("-") else [name]
    return f"runc-wrapctl suggest {shlex.join(words)} > {shlex.quote(f'{profiles}/{file}')}"


def _calls(workload: Json) -> list[Json]:
    found = workload.get("calls")
    return [call for call in found if isinstance(call, dict)] if isinstance(found, list) else []


def _call(call: Json) -> Json:
    programs = [safe_text.name(one) for one in call.get("programs") or [] if one]
    return {
        "syscall": safe_text.name(call.get("syscall"), 64),
        "abi": safe_text.name(call.get("abi"), 32),
        "errno": safe_text.name(call.get("errno"), 32),
        "outcome": safe_text.name(call.get("outcome")),
        "args": _named(call.get("arguments")) or _arguments(call.get("args")),
        "count": _number(call.get("count")),
        "verdict": _call_verdict(call),
        "programs": programs[:_MOST_PROGRAMS],
        "more_programs": len(programs[_MOST_PROGRAMS:]),
        "first": _moment(call.get("first")),
        "last": _moment(call.get("last")),
    }


def _call_weight(call: Json) -> tuple[int, int, str]:
    return matrix_picture.WORST_FIRST.index(call["verdict"]), -call["count"], call["syscall"]


def _call_verdict(call: Json) -> str:
    found = call.get("verdict")
    return found if found in matrix_picture.WORST_FIRST else UNKNOWN


def _named(given: object) -> list[str]:
    """Return the first arguments that have names."""
    names = [safe_text.name(one) for one in given if one] if isinstance(given, list) else []
    return [*names[:_MOST_ARGS], "and others"] if len(names) > _MOST_ARGS else names


def _arguments(args: object) -> list[str]:
    """Return the first known arguments, by audit's names for them."""
    lists = args if isinstance(args, list) else []
    shown = [
        " ".join(
            f"a{at}={_hexadecimal(value)}" for at, value in enumerate(one) if value is not None
        )
        for one in lists[: _MOST_ARGS + 1]
        if isinstance(one, list)
    ]
    names = [safe_text.name(one) for one in shown if one]
    return [*names[:_MOST_ARGS], "and others"] if len(names) > _MOST_ARGS else names


def _hexadecimal(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) else str(value)


def _meta(meta: Json) -> Json:
    return {
        "node": safe_text.name(meta.get("node")),
        "generated": _moment(meta.get("generated")),
        "since": _moment(meta.get("since")),
        "until": _moment(meta.get("until")),
        "version": safe_text.name(meta.get("version")),
        "policy": safe_text.name(meta.get("policy") or "/opt/runc-wrap/etc/config.toml"),
        "profiles": safe_text.name(meta.get("profiles") or "/opt/runc-wrap/etc/profiles"),
        "unattributed": _counted(meta.get("unattributed")),
        "lost": _number(meta.get("lost")),
        "missing": [safe_text.name(one, _LONGEST_SENTENCE) for one in meta.get("missing") or ()],
        "missing_count": _number(meta.get("missing_count")),
        "kept": [safe_text.name(one, _LONGEST_SENTENCE) for one in meta.get("kept") or ()],
    }


def _counted(value: object) -> int:
    """Return a number of records, given as a number or as the calls themselves."""
    if isinstance(value, list):
        return sum(_number(one.get("count", 1)) for one in value if isinstance(one, dict))
    return _number(value)


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _moment(value: object) -> Json | None:
    """Return a time as {iso, text}, None for none."""
    if not value:
        return None
    try:
        found = datetime.fromisoformat(str(value))
        utc = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return {"iso": "", "text": safe_text.name(value, 40)}
    return {"iso": utc.isoformat(), "text": f"{utc.day} {utc:%b %Y, %H:%M}"}


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=DictLoader({name: _text(name) for name in _TEMPLATES}),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    grouped: Callable[[int], str] = "{:,}".format
    environment.filters["grouped"] = grouped
    return environment


def _text(name: str) -> str:
    return (resources.files("runc_wrap.report") / "templates" / name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
