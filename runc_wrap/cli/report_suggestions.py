"""What `report --json` and its page have on a workload, of one node or of a fleet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runc_wrap import safe_text, time_text
from runc_wrap.cli import output
from runc_wrap.failure import Failure
from runc_wrap.report import html
from runc_wrap.report.suggestion import policy_snippets, profile_addition

if TYPE_CHECKING:
    from pathlib import Path

    from runc_wrap.node.paths import Places
    from runc_wrap.report.merged_workload import MergedWorkload
    from runc_wrap.report.recorded_calls import RecordedCalls
    from runc_wrap.report.suggestion.profile_addition import Suggestion


Json = dict[str, Any]


def document(one: MergedWorkload) -> Json:
    """Return a workload's JSON, with the profile addition and the rule to paste."""
    found = suggested(one)
    added = found.added if found else []
    return {
        **one.as_json(),
        "addition": profile_addition.addition(added),
        "file": policy_snippets.file_name(one) if added else "",
        "rule": policy_snippets.policy_rule(one) if added else "",
        "annotation": policy_snippets.annotation(one) if added else "",
        "warnings": found.warnings if found else [],
        "withheld": [each.as_json() for each in found.withheld] if found else [],
    }


def suggested(
    one: MergedWorkload, *, recorded: bool = False, **allowing: bool
) -> Suggestion | None:
    """Return the profile that lets a workload run; None if its profile is not known.

    `recorded`: without what it was not recorded to use. `allowing` is as profile_addition.suggest
    takes it. Raises Failure if it was not recorded.
    """
    if one.filter is None:
        return None
    found = profile_addition.suggest(one.filter, one, **allowing)
    return profile_addition.reduced(found, _recording(one), one.filter) if recorded else found


def _recording(one: MergedWorkload) -> RecordedCalls:
    if one.recorded is None or not one.recorded.calls:
        raise Failure(
            f"{safe_text.name(one.name)}: nothing was recorded. Write record = true in the rule "
            "that selects it, run `runc-wrapctl apply`, and recreate its containers while the "
            "agent runs"
        )
    return one.recorded


def write_page(page: Path, documents: list[Json], places: Places, meta: Json) -> None:
    """Write a page of these workloads, and say so on stderr; `meta`: what report.html wants."""
    here = {
        "generated": time_text.rfc3339(time.time()),
        "policy": str(places.config),
        "profiles": str(places.profiles),
    }
    page.write_text(html.render(documents, {**here, **meta}), encoding="utf-8")
    output.warn(f"{safe_text.number(len(documents), 'workload')} in {page}")
