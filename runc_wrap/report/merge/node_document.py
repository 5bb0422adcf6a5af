"""One node's document, as `report --json` prints it, checked before anything of it is merged.

    [{"form": 1, "node": "a", ...}, ...]                   report --json: each workload names both
    {"form": 1, "node": "a", "workloads": [...], "kept": …, "notes": [...]}
                                                            report --json --node a
    {"form": 1, "node": "a", "error": "it timed out"}      from who asked: this node did not answer

`block` of a workload is the profile under enforce, in OCI form; it stands at the first workload
that has it, and the others have its `block_digest` only. A document of another form, with a wrong
type or with a number that cannot be is refused whole: what half of it says could be wrong, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from runc_wrap import safe_text
from runc_wrap.hotpath import json_codec
from runc_wrap.report.merge import fleet_notes, kept_defaults
from runc_wrap.report.merge.call_fields import (
    BadDocument,
    call,
    flag,
    number,
    said,
    shown,
    texts,
    time,
)
from runc_wrap.report.node_workload import MOST_NAMES, NodeWorkload
from runc_wrap.report.outcomes import WORST_FIRST
from runc_wrap.report.workloads import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runc_wrap.report.merge.kept_defaults import Kept

Json = dict[str, Any]
FORM = 1
LONGEST_NODE = 253  # characters, as of a DNS name
MOST_WORKLOADS = 5000  # of one node; a kubelet takes some hundred pods
LARGEST_BLOCK = 256 * 1024  # bytes
LONGEST_SENTENCE = 4000
_LONGEST_NAME = 1000  # characters of a workload's names
_MOST_CALLS = 1000  # of one workload: more than there are
_MOST_MODES = 10
_DIGEST = re.compile(r"[0-9a-f]{64}").fullmatch
_AGAIN = "; collect it again by `runc-wrapctl report --json --node NAME`"


class NodeDocument(NamedTuple):
    """One node's answer; `error` says why there is none. `blocks` are JSON texts by digest.

    `kept` is None if nothing is known of it. `notes` are what the node remarks on its report.
    """

    node: str
    error: str | None
    generated: str | None
    workloads: Sequence[NodeWorkload]
    blocks: dict[str, bytes]
    kept: Kept | None = None
    notes: Sequence[str] = ()


def written(
    workloads: list[Json],
    node: str,
    generated: str | None,
    kept: Kept | None = None,
    notes: Sequence[str] = (),
) -> Json:
    """Return the document of a node that is named; without `kept`, nothing is known of that."""
    document = {"form": FORM, "node": node, "generated": generated, "workloads": workloads}
    return {**document, "kept": kept and kept._asdict(), "notes": fleet_notes.fitting(notes)}


def silent(node: str, error: str) -> Json:
    """Return the document of a node that did not answer."""
    return {"form": FORM, "node": node, "error": error}


def read(value: object) -> NodeDocument:
    """Return a decoded document. Raises BadDocument."""
    if isinstance(value, list):
        return _of_list(value)
    if not isinstance(value, dict):
        raise BadDocument(f"is {shown(value)}, not a node's report{_AGAIN}")
    _check_form(value)
    node = _node(value)
    if "error" in value:
        error = said(value, "error", LONGEST_SENTENCE) or "it did not say why"
        return NodeDocument(node, error, None, (), {})
    rows = value.get("workloads")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadDocument(f"has {shown(rows)} for workloads, not a list of objects{_AGAIN}")
    kept, notes = kept_defaults.read(value.get("kept")), fleet_notes.read(value)
    return _document(node, time(value, "generated"), rows)._replace(kept=kept, notes=notes)


def _of_list(rows: list[Any]) -> NodeDocument:
    if not rows:
        raise BadDocument(f"is an empty list, which names no node{_AGAIN}")
    for row in rows:
        if not isinstance(row, dict):
            raise BadDocument(f"has {shown(row)} for a workload, not an object{_AGAIN}")
        _check_form(row)
    names = {_node(row) for row in rows}
    if len(names) > 1:
        few = ", ".join(sorted(safe_text.word(name) for name in names)[:3])
        raise BadDocument(f"is one list with workloads of several nodes ({few}); give one for each")
    return _document(names.pop(), None, rows)


def _check_form(value: Json) -> None:
    form = value.get("form")
    if type(form) is not int or form != FORM:
        if form is None:
            raise BadDocument(f"has no form: an older release wrote it, or not root{_AGAIN}")
        raise BadDocument(f"has the form {shown(form)}, and this release reads form {FORM}{_AGAIN}")


def _node(value: Json) -> str:
    node = value.get("node")
    if not isinstance(node, str) or not 0 < len(node) <= LONGEST_NODE:
        raise BadDocument(f"has {shown(node)} for its node, not a name{_AGAIN}")
    return node


def _document(node: str, generated: str | None, rows: list[Any]) -> NodeDocument:
    if len(rows) > MOST_WORKLOADS:
        raise BadDocument(f"has {len(rows)} workloads, more than {MOST_WORKLOADS} of one node")
    blocks: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    found: dict[Workload, NodeWorkload] = {}
    for at, row in enumerate(rows, 1):
        try:
            block = _block(row, blocks, digests)
            one = _workload(row, block)
        except BadDocument as error:
            raise BadDocument(f"has a workload {at} that cannot be: {error}") from None
        if one.whose in found:
            raise BadDocument(f"has the workload {safe_text.word(one.whose.name)} twice")
        found[one.whose] = one
    return NodeDocument(node, None, generated, [*found.values()], blocks)


def _block(row: Json, blocks: dict[str, bytes], digests: dict[str, str]) -> str | None:
    """Return the digest of a workload's profile, computed here; what a document claims is no proof.

    `digests` are ours by those that the document claims.
    """
    claimed = row.get("block_digest")
    if claimed is None:
        return None
    if not isinstance(claimed, str) or not _DIGEST(claimed):
        raise BadDocument(f"block_digest is {shown(claimed)}, not 64 hexadecimal digits")
    if claimed not in digests and "block" in row:
        made = _text(row["block"])
        digests[claimed] = json_codec.digest(made)
        blocks[digests[claimed]] = made
    return digests.get(claimed)


def _text(block: object) -> bytes:
    if not isinstance(block, dict):
        raise BadDocument(f"block is {shown(block)}, not an object")
    try:
        made = json_codec.dumps(block)
    except json_codec.Unreadable as error:
        raise BadDocument(f"block: {error}") from None
    if len(made) > LARGEST_BLOCK:
        raise BadDocument(f"block has {len(made)} bytes, more than {LARGEST_BLOCK}")
    return made


def _workload(row: Json, block: str | None) -> NodeWorkload:
    """Return one workload of a document; `block` is its profile's digest. Raises BadDocument."""
    verdict = row.get("verdict")
    if verdict is not None and verdict not in WORST_FIRST:
        raise BadDocument(f"verdict is {shown(verdict)}, not {', '.join(WORST_FIRST)} or null")
    calls = row.get("calls")
    if not isinstance(calls, list) or len(calls) > _MOST_CALLS:
        raise BadDocument(f"calls is {shown(calls)}, not a list of at most {_MOST_CALLS}")
    return NodeWorkload(
        Workload(
            said(row, "namespace", _LONGEST_NAME),
            said(row, "pod", _LONGEST_NAME),
            said(row, "container", _LONGEST_NAME),
            said(row, "image", _LONGEST_NAME),
        ),
        verdict,
        said(row, "reason", LONGEST_SENTENCE),
        number(row, "containers"),
        number(row, "running"),
        number(row, "restarts"),
        number(row, "lost"),
        flag(row, "lost_at_least"),
        flag(row, "lost_at_most"),
        number(row, "dropped"),
        number(row, "watched"),
        time(row, "since"),
        texts(row, "modes", _MOST_MODES),
        said(row, "profile", _LONGEST_NAME),
        texts(row, "pods", MOST_NAMES),
        block,
        [call(one) for one in calls],
        bool(row.get("unshown")),
    )
