"""What `engine add` and `remove` print: one document, or the same in sentences."""

import difflib
import io
from typing import Any

from runc_wrap.cli import output
from runc_wrap.engines import engine_registry
from runc_wrap.engines.engine_class import RESTART
from runc_wrap.engines.engine_files import Change
from runc_wrap.engines.registration.registration_plan import Plan

RUNTIME_CLASS = """apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: {name}
handler: {name}
"""


def document(
    plan: Plan, handler: str, wrong: list[str], *, dry_run: bool, added: bool
) -> dict[str, Any]:
    """Return what `--json` prints of a planned or executed change."""
    where = plan.where
    kubernetes = added and engine_registry.ENGINES[where.engine].has_runtime_classes
    reload = None
    if plan.changes:
        engine = engine_registry.at(where.engine, where.config)
        reload = engine.reload_command(loses_default=plan.loses_default)
    return {
        "engine": where.engine,
        "config": str(where.config),
        "handler": handler,
        "path": str(where.bin_dir / handler),
        "dry_run": dry_run,
        "nothing": ("already there" if added else "not registered") if plan.is_empty else None,
        "changed": [str(change.path) for change in plan.changes],
        "links": [str(link) for link in (plan.link_new, plan.link_gone) if link],
        "diff": "".join(map(diff, plan.changes)),
        "wrong": wrong,
        "reload": reload,
        "runtime_class": RUNTIME_CLASS.format(name=handler) if kubernetes else None,
    }


def diff(change: Change) -> str:
    """Return the unified diff of one file; /dev/null stands for a missing file."""
    old, new = change.before, change.after
    names = ["/dev/null" if side is None else str(change.path) for side in (old, new)]
    sides = [list(io.StringIO(side, newline="\n")) for side in (old, new)]
    lines = difflib.unified_diff(sides[0], sides[1], names[0], names[1])
    unended = "\n\\ No newline at end of file\n"
    return "".join(line if line.endswith("\n") else line + unended for line in lines)


def show(document: dict[str, Any], plan: Plan, *, as_json: bool) -> None:
    """Print a change; a document that is not wanted as JSON, in sentences."""
    if as_json:
        output.document(document)
        return
    if plan.is_empty:
        output.say(f"{document['engine']}: {document['nothing']}: {document['handler']}")
    elif document["dry_run"]:
        output.say(document["diff"] + "".join(f"link: {link}\n" for link in document["links"]))
    else:
        output.say(_changes(document, plan))
        if "proved" in document:
            output.say(f"proved by a canary: {document['proved']}")
    for sentence in document["wrong"]:
        output.warn(sentence)


def _changes(document: dict[str, Any], plan: Plan) -> str:
    lines = [f"{'removed' if c.after is None else 'changed'} {c.path}" for c in plan.changes]
    lines += [f"created the link {plan.link_new}"] if plan.link_new else []
    lines += [f"removed the link {plan.link_gone}"] if plan.link_gone and not plan.given else []
    if reload := document["reload"]:
        lines.append(f"to activate it, run: {reload}" if reload.startswith("systemctl") else reload)
    note = engine_registry.ENGINES[plan.where.engine].restart_note
    if note and f" {RESTART} " in (document["reload"] or ""):
        lines.append(note)
    if document["runtime_class"]:
        lines += ["for Kubernetes, run `kubectl apply -f` with:", "", document["runtime_class"]]
    return "\n".join(lines) or f"{plan.where.config} has nothing of it any more"
