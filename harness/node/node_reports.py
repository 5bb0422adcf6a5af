"""Documents as nodes of a fleet print them by `report --json`, made up: for tests and the bench."""

import json
import random
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
X86 = 0xC000003E
WATCHED = 8 * 86400
_KINDS = 50  # of documents: nodes that run the same workloads are alike
_NAME = "node-name-to-fill-in"
_CALLS = (("unshare", 272), ("mount", 165), ("bpf", 321), ("keyctl", 250), ("ptrace", 101))


def call(syscall: str = "unshare", number: int = 272, **changes: Any) -> Json:
    return {
        "abi": "x86_64",
        "syscall": syscall,
        "number": number,
        "arch": X86,
        "verdict": "denied",
        "errno": "EPERM",
        "outcome": "EPERM",
        "args": None,
        "arguments": None,
        "expected": False,
        "count": 3,
        "programs": [f"/usr/bin/{syscall}"],
        "first": "2026-11-18T00:00:00Z",
        "last": "2026-11-18T00:00:03Z",
        **changes,
    }


def workload(name: str = "web", *calls: Json, **changes: Any) -> Json:
    pod = f"{name}-7d9c8b5f6-x2k4p"
    return {
        "node": "a",
        "namespace": "shop",
        "pod": name,
        "container": "app",
        "image": f"registry.example/{name}:1",
        "name": f"shop/{name}/app",
        "verdict": "denied" if calls else "safe",
        "reason": None,
        "confidence": "Well watched: 8 days in 2 containers.",
        **dict.fromkeys(("calm", "lost_at_least", "lost_at_most"), False),
        "containers": 2,
        "running": 2,
        **dict.fromkeys(("restarts", "lost", "dropped"), 0),
        "first": calls[0]["first"] if calls else None,
        "last": calls[0]["last"] if calls else None,
        "watched": WATCHED,
        "since": "2026-11-10T00:00:00Z",
        "modes": ["audit"],
        "profile": "containerd",
        "pods": [pod],
        "ids": ["0123456789ab" * 5],
        "calls": list(calls),
        **dict.fromkeys(("recorded", "unshown", "own_filters")),
        **dict.fromkeys(("addition", "file", "rule", "annotation"), ""),
        **{key: [] for key in ("runtime_calls", "warnings", "withheld")},
        **changes,
    }


def unknown(name: str = "web", **changes: Any) -> Json:
    reason = "Unknown: nothing was watching while its containers ran."
    return workload(name, **{"verdict": None, "reason": reason, "watched": 0, **changes})


def document(node: str, *workloads: Json, **changes: Any) -> Json:
    return {
        "form": 1,
        "node": node,
        "generated": "2026-11-20T00:00:00Z",
        "workloads": list(workloads),
        "kept": {"adopts": False, "profiles": {}},
        "notes": [],
        **changes,
    }


def fleet(nodes: int, each: int, seed: int = 4) -> Iterator[bytes]:
    """Yield the documents of so many nodes, each with so many workloads of ten times as many.

    Each is behind the line that says which node was asked.

    A quarter of the workloads make three calls that would be denied.
    """
    chosen = random.Random(seed)  # noqa: S311 - not for a secret
    names = [f"workload-{at}" for at in range(10 * each)]
    kinds = []
    for _ in range(min(nodes, _KINDS)):
        made = [_made(name, at, chosen) for at, name in enumerate(chosen.sample(names, each))]
        asked = json.dumps({"form": 1, "asked": _NAME})
        kinds.append(f"{asked}\n{json.dumps(document(_NAME, *made))}\n".encode())
    for at in range(nodes):
        yield kinds[at % len(kinds)].replace(_NAME.encode(), b"node-%d" % at)


def _made(name: str, at: int, chosen: random.Random) -> Json:
    calls = [call(*one) for one in chosen.sample(_CALLS, 3)] if at % 4 == 0 else []
    return workload(name, *calls, watched=chosen.randrange(1, WATCHED), node=_NAME)
