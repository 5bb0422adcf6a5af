"""How to give a workload its suggested profile: file name, policy rule, annotation."""

import json
import re
from collections.abc import Iterable

from runc_wrap.hotpath.annotations import LOCALHOST, OWN_KEY
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.hotpath.policy_rule_match import matches_any
from runc_wrap.report.merge.merged_workload import MergedWorkload

_LONGEST_NAME = 100
_DIGITS = 12
_LONGEST_KEY = 63  # of an annotation, after its prefix (apimachinery IsQualifiedName)


def file_name(one: MergedWorkload) -> str:
    """Return a unique name for the profile's file, in the plain form that localhost/<file> takes.

    Kubernetes' names are joined by "_", which none of them contains. If that is not unique, a
    digest of all the workload's names follows.
    """
    whose = one.workload
    parts = [part for part in whose[:3] if part] or [whose.image or ""]
    plain = "_".join(re.sub(r"[^a-z0-9-]+", "-", part.lower()).strip("-") for part in parts)
    whole = len(plain) <= _LONGEST_NAME and plain == "_".join(parts)
    is_alone = whose.container and not whose.namespace and not whose.pod
    if whole and not one.shares_name and (all(whose[:3]) or is_alone):
        return f"{plain}.json"
    text = "\0".join(part or "" for part in whose)
    suffix = digest(text.encode("utf-8", "backslashreplace"))[:_DIGITS]
    return f"{plain[:_LONGEST_NAME].strip('-_') or 'workload'}.{suffix}.json"


def policy_rule(one: MergedWorkload, profile: str = "") -> str:
    """Return the smallest rule to paste into the policy, in TOML; "" if names do not count.

    It names a profile, or the suggestion's file.
    Outside Kubernetes any user may choose a container's names, so no rule selects by them.
    """
    selectors = _selectors(one)
    if not selectors:
        return ""
    lines = [
        "[[rule]]",
        f"name = {json.dumps(f'{one.name}: what it was seen to need')}",
        *(f"{key} = [{json.dumps(value)}]" for key, value in selectors.items()),
        f"profile = {json.dumps(profile or LOCALHOST + file_name(one))}",
        'mode = "enforce"',
    ]
    return "\n".join(lines) + "\n"


def _selectors(one: MergedWorkload) -> dict[str, str]:
    whose = one.workload
    if whose.pod is None and whose.namespace is None:
        return {}
    pods = {each.pod for each in one.instances}
    selectors = {
        "namespace": whose.namespace,
        "pod": whose.pod if pods == {whose.pod} else f"{whose.pod}-*",
        "container": whose.container,
        "image": whose.image if one.shares_name else None,
    }
    return {key: value for key, value in selectors.items() if value}


def also_matched(one: MergedWorkload, everyone: Iterable[MergedWorkload]) -> list[str]:
    """Return the names of other workloads that the rule matches."""
    selectors = _selectors(one)
    return [
        other.name
        for other in everyone
        if selectors
        and other.workload != one.workload
        and any(
            all(matches_any([value], getattr(each, key)) for key, value in selectors.items())
            for each in other.instances
        )
    ]


def annotation(one: MergedWorkload) -> str:
    """Return the annotation that asks for the profile; "" if Kubernetes rejects such a key.

    In a pod it is for the container only: one for the pod would apply to its sidecars too.
    """
    whose = one.workload
    key = f"{OWN_KEY}.{whose.container}" if whose.pod and whose.container else OWN_KEY
    if whose.pod and len(key.partition("/")[2]) > _LONGEST_KEY:
        return ""
    return f"{key}: {LOCALHOST}{file_name(one)}"
