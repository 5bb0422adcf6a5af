"""The page of `report --html`: one file for a workload's owner, which needs no network.

Workloads may choose all texts in a report: `_element` makes each one inert and escapes it. The
page's Content-Security-Policy allows its own style and script by their hashes, and nothing else.
"""

import base64
import hashlib
import shlex
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from runc_wrap import safe_text

Json = dict[str, Any]
MOST_WORKLOADS, MOST_CALLS = 500, 40  # of a page, of a workload; it says how many more there are
_MOST_SHOWN = 4  # programs of a call, and kinds of its arguments
_OPEN = 20  # up to so many workloads are shown unfolded
_LONGEST = 600  # characters of a text: an image's name with its digest, after a pod's
_JSON = "`runc-wrapctl report --json` has them all."
_MEANINGS = {
    "denied": "A call was made that would fail with EPERM or another error, or end the program.",
    "depends": "A call was made that only some arguments allow; the records do not say which.",
    "degrades": "A call was made that would get ENOSYS; the C library and most programs fall back.",
    "unknown": "Too little is known; the reason stands there.",
    "safe": "It was watched, and no call was seen that the profile would not let through.",
    "enforced": "The profile is enforced, and nothing needs attention.",
}
_NOTICING = ("denied", "depends", "degrades")


class _Markup(str):
    """Text of this module, or made by it: escaped already."""

    __slots__ = ()


def render(report: Sequence[Json], meta: Json) -> str:
    """Return the page, a whole HTML document.

    `report` is the list of `report --json`, the worst first; `meta` has node, policy and profiles
    (paths), and may have generated and since (RFC 3339), unattributed (calls of no known
    container), lost, kept (sentences); of a fleet missing (sentences) and missing_count.
    """
    style, script = _file("page.css"), _file("page.js")
    allowed = "; ".join(
        ["default-src 'none'", f"style-src {_hash(style)}", f"script-src {_hash(script)}",
         "base-uri 'none'", "form-action 'none'"]
    )  # fmt: skip
    head = [
        _Markup('<meta charset="utf-8">'),
        _Markup(f'<meta http-equiv="Content-Security-Policy" content="{allowed}">'),
        _Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        _element("title", f"What would break? {meta['node']}"),
        _element("style", style),
    ]
    body = [*_beginning(report, meta), _element("main", *_workloads(report, meta)), _legend()]
    whole = _element("head", *head), _element("body", *body, _element("script", script))
    return f"<!DOCTYPE html>\n{_element('html', *whole, lang='en')}\n"


def _element(name: str, *inner: str, kind: str = "", **attributes: str) -> _Markup:
    """Return an element; texts that are not of this module are made inert, cut and escaped."""
    given = {**attributes, **({"class": kind} if kind else {})}
    shown = "".join(f' {key}="{_escaped(value)}"' for key, value in given.items())
    return _Markup(f"<{name}{shown}>{''.join(map(_escaped, inner))}</{name}>\n")


def _escaped(text: str) -> str:
    return text if isinstance(text, _Markup) else escape(safe_text.name(text, _LONGEST))


def _beginning(report: Sequence[Json], meta: Json) -> Iterator[_Markup]:
    yield _element("p", "runc-wrap report: ", _element("bdi", meta["node"]))
    yield _element("h1", "What would break?")
    yield _element("p", _lead([_verdict(one) for one in report]), kind="lead")
    times = {"since": "Records since", "generated": "Page made"}
    said = [f"{words} {meta[key]}." for key, words in times.items() if meta.get(key)]
    yield _element("p", " ".join(said))
    if missing := [*_missing(meta)]:
        heading = _element("h2", "What is missing from this page")
        yield _element("div", heading, *(_element("p", one) for one in missing), kind="caution")


def _lead(verdicts: Sequence[str]) -> str:
    noticing = sum(one in _NOTICING for one in verdicts)
    unknown = verdicts.count("unknown")
    total = len(verdicts) - verdicts.count("enforced")
    if not total:
        return _MEANINGS["enforced"] if verdicts else "No workload has been seen: nothing is known."
    if unknown == total:
        return f"It is unknown whether {safe_text.number(total, 'workload')} would notice."
    doubt = f" For {unknown} it is unknown." if unknown else ""
    of = safe_text.number(total, "workload")
    return f"If the profile were enforced, {noticing or 'none'} of {of} would notice.{doubt}"


def _missing(meta: Json) -> Iterator[str]:
    if lost := meta.get("lost"):
        yield f"{safe_text.number(lost, 'record')} lost: calls may be missing."
    if calls := sum(one["count"] for one in meta.get("unattributed", ())):
        yield f"{safe_text.number(calls, 'call')} of no known container, in no workload's list."
    if count := meta.get("missing_count"):
        yield f"Nodes or documents that are missing: {count}. What runs there is unknown."
        yield from meta["missing"]
        yield from _more(count - len(meta["missing"]), "node")
    yield from (f"{one}." for one in meta["kept"])


def _more(number: int, what: str) -> Iterator[str]:
    if number > 0:
        yield f"{safe_text.number(number, f'more {what}')} left out here; {_JSON}"


def _verdict(one: Json) -> str:
    return "enforced" if one["calm"] else one["verdict"] or "unknown"


def _workloads(report: Sequence[Json], meta: Json) -> Iterator[_Markup]:
    is_open = sum(_verdict(one) in _NOTICING for one in report) <= _OPEN
    for one in report[:MOST_WORKLOADS]:
        verdict = _verdict(one)
        head = _element("b", verdict, kind=verdict), _element("bdi", one["name"])
        image = _element("small", one["image"] or "")
        opened = {"open": ""} if is_open and verdict in _NOTICING else {}
        summary = _element("summary", *head, image)
        yield _element("details", summary, *_facts(one, meta), kind="workload", **opened)
    for sentence in _more(len(report) - MOST_WORKLOADS, "workload"):
        yield _element("p", sentence)


def _facts(one: Json, meta: Json) -> Iterator[_Markup]:
    if one["calls"]:
        heads = ("Call", "It would get", "Made by", "Times", "First and last seen")
        rows = [_row(call) for call in one["calls"][:MOST_CALLS]]
        yield _element("table", _element("tr", *(_element("th", each) for each in heads)), *rows)
    for sentence in (*_more(len(one["calls"]) - MOST_CALLS, "call"), *_basis(one)):
        yield _element("p", sentence)
    if one["addition"]:
        yield from _steps(one, meta)


def _row(call: Json) -> _Markup:
    name = _element("code", call["syscall"]), _element("small", call["abi"])
    gets = call["outcome"], *map(_small, _first(call["arguments"] or []))
    programs = map(_small, _first(call["programs"]) or ["not known"])
    seen = _small(call["first"] or "unknown"), _small(call["last"] or "unknown")
    cells = (name, gets, programs, [str(call["count"])], seen)
    return _element("tr", *(_element("td", *cell) for cell in cells))


def _small(text: str) -> _Markup:
    return _element("small", _element("bdi", text))


def _first(texts: Sequence[str]) -> list[str]:
    more = len(texts) - _MOST_SHOWN
    return [*texts[:_MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _basis(one: Json) -> Iterator[str]:
    yield from filter(None, (one["reason"], one["confidence"]))
    nodes = f" on {safe_text.number(one['nodes'], 'node')}" if "nodes" in one else ""
    restarts = safe_text.number(one["restarts"], "restart")
    where = f"Seen in {safe_text.number(one['containers'], 'container')}{nodes}, {restarts}"
    since = f", since {one['since']}" if one["since"] else ""
    yield f"{where}{since}."
    for call in one["withheld"][:MOST_CALLS]:
        yield (
            f"Left out below because it is dangerous: {call['syscall']}: {call['why']}. Ask who "
            "needs it; `runc-wrapctl suggest --allow-dangerous` adds it."
        )
    yield from (f"Before you paste: {warning}" for warning in one["warnings"][:MOST_CALLS])


def _steps(one: Json, meta: Json) -> Iterator[_Markup]:
    """Yield what to paste so that a workload keeps what it uses."""
    yield _element("h2", "So that it keeps working")
    if command := _command(one, meta["profiles"]):
        yield from _paste("Write a profile for it, on the node:", command)
    by_hand = "Or add this" if command else "Add this"
    where = f"to the list `syscalls` of a copy of its profile in {meta['profiles']}:"
    yield from _paste(f"{by_hand} {where}", one["addition"])
    if one["rule"]:
        first = "before the rules that match it now (the first that matches counts)"
        yield from _paste(f"Put this rule into {meta['policy']}, {first}:", one["rule"])
    if one["annotation"]:
        yield from _paste("Or give the container this annotation:", one["annotation"])
    yield _element("p", "Run `runc-wrapctl apply` on each node, and restart the workload.")


def _paste(caption: str, text: str) -> Iterator[_Markup]:
    yield _element("p", caption)
    whole = safe_text.paste(text)
    shown = f"It is too long to show; {_JSON}" if whole is None else _Markup(escape(whole))
    yield _element("pre", shown)


def _command(one: Json, profiles: str) -> str:
    """Return the command that writes the profile, "" if it could not be pasted unchanged."""
    name, file = one["name"], one["file"]
    is_whole = all(safe_text.name(each, _LONGEST) == each for each in (name, file, profiles))
    if "nodes" in one or not (is_whole and file):
        return ""  # no single node has all of a fleet's evidence
    words = ["--", name] if name.startswith("-") else [name]
    return f"runc-wrapctl suggest {shlex.join(words)} > {shlex.quote(f'{profiles}/{file}')}"


def _legend() -> _Markup:
    rows = [_element("dt", word) + _element("dd", text) for word, text in _MEANINGS.items()]
    return _element("footer", _element("h2", "What the verdicts mean"), _Markup("".join(rows)))


def _file(name: str) -> _Markup:
    return _Markup((Path(__file__).with_name("page") / name).read_text("utf-8"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
