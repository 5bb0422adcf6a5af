"""A candidate beside an engine's own default, which containers bring: `adopt`, and the report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.containers import logged_calls
from harness.engines.cri import RUNTIME_DEFAULT, Ask
from harness.engines.images import REFERENCE
from harness.node import agent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.engines.containerd import Containerd
    from harness.engines.cri import Cri
    from harness.engines.podman import Podman
    from harness.node.install import Installed

    Configured = Callable[[Installed, str], None]

POD, NAME = "web-7d9c8b5f6-x2k4p", "next/web/main"
NODES = {"adopts": ("runc", "enforce"), "adopts-weaker": ("crun", "observe")}
POLICY = (
    'runtime = ["{}"]\n[default]\nadopt = "runtime-default"\n[[rule]]\nname = "next"\n'
    '{} = ["{}"]\nmode = "{}"\ncandidate = "runtime-default - sysinfo - ustat"\n'
)
SYSINFO, USTAT = "x86_64:99:0", "x86_64:136:0"
CALLS = (f"/{logged_calls.PROGRAM}", SYSINFO, USTAT)
# sysinfo is the candidate's denial, so the kernel answers EFAULT; ustat is the default's own
TIMES = 3  # the audit record of a short process is by chance attributed to no container
ANSWERS = f"{SYSINFO} errno 14\n{USTAT} errno 1\n"


def _reported(own: Installed, *words: str | Path) -> Any:
    done = own.control("report", "--candidate", "--json", *words, ok=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def _seen(workload: Any) -> Any:
    calls = [(one["syscall"], one["errno"]) for one in workload["calls"]]
    return workload["verdict"], workload["containers"], calls


def test_a_pods_runtime_default_gets_a_candidate_which_is_judged_over_nodes(
    node: Containerd, cri: Cri, governed: dict[str, Installed], configured: Configured,
    tmp_path: Path,
) -> None:  # fmt: skip
    files = []
    for handler, (kind, mode) in NODES.items():
        own = governed[handler]
        configured(own, POLICY.format(kind, "namespace", "next", mode))
        with agent.running(own, node.space.prefix):
            pod = cri.run_pod(handler, tmp_path, namespace="next", name=POD)
            container = cri.run(pod, Ask(seccomp=RUNTIME_DEFAULT))
            for _ in range(TIMES):
                assert cri.exec(container, *CALLS) == ANSWERS
            cri.remove_pods()  # else an agent that is ended waits for it
        (line,) = own.ledger(container)
        assert (line["declared"], line["action"]) == ("engine's default", "inject")
        assert (line["mode"], line["profile"]) == (mode, line["replaced"])
        files.append(tmp_path / f"{kind}.json")
        document = _reported(own, "--node", kind)
        files[-1].write_text(json.dumps(document))
        (found,) = (one for one in document["workloads"] if one["name"] == NAME)
        assert _seen(found) == ("denied", 1, [("sysinfo", "EPERM")])
    merged = _reported(governed["adopts"], "--merge", *files)
    (found,) = (one for one in merged["workloads"] if one["name"] == NAME)
    assert (merged["nodes"], _seen(found)) == (2, ("denied", 2, [("sysinfo", "EPERM")]))


def test_podmans_default_gets_a_candidate(
    podman: Podman, governed: dict[str, Installed], configured: Configured
) -> None:
    own = governed["adopts-weaker"]
    configured(own, POLICY.format("crun", "engine", "podman", "observe"))
    default = podman.override("own-default", '[containers]\nseccomp_profile = ""\n')
    with agent.running(own, podman.space.prefix):
        words = ["--runtime", "adopts-weaker", "run", REFERENCE, *CALLS]
        assert podman.podman(*words, override=default).stdout == ANSWERS
        line = own.ledger()[-1]
        assert (line["declared"], line["mode"]) == ("engine's default", "observe")
        (found,) = _reported(own, line["id"])
    assert _seen(found) == ("degrades", 1, [("sysinfo", "ENOSYS")])
