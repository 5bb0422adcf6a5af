"""Reports like those of `runc-wrapctl report --json`: a usual one, large ones, a hostile one."""

import json
from typing import Any

from harness.node import node_reports

Json = dict[str, Any]

_TIMES = {"generated": "2026-11-24T17:30:00Z", "since": "2026-11-17T09:00:00Z"}
_PLACES = {"policy": "/opt/runc-wrap/etc/config.toml", "profiles": "/opt/runc-wrap/etc/profiles"}
_LOST = {"unattributed": [{"count": 14}], "lost": 230}
META: Json = {"node": "node-7.example", **_TIMES, **_PLACES, **_LOST, "kept": []}
WEEK = "Watched for 7 days over 3 containers and 2 restarts: what it does daily was seen."
MINUTE = "Watched for 2 minutes only, in one container: it may have more in store."
SAFE = """
shop/web-storefront/nginx|registry.example/nginx:1.29 shop/orders-db/postgres|postgres:18.1
shop/cart/redis|redis:8.2 shop/checkout/app|registry.example/shop/checkout:2026.47
monitoring/node-exporter/exporter|quay.example/node-exporter:1.9
kube-system/coredns/coredns|coredns:1.13
""".split()
MANY = [
    "mount: it changes mounts",
    "unshare: it makes namespaces, and with a user namespace all capabilities within",
]
BUILDS = "ci/runner-builds/buildkit|moby/buildkit:0.26"
EXTREMELY = 100_000
HOSTILE = [
    "<script>document.title='ran'</script>",
    "<img src=x onerror=\"document.title='ran'\">",
    "\x1b]0;ran\x07\x1b[2J\x1b[31mred",
    "gpj.\u202eexe.\u2066good\u2069",
    "nul\0byte\u2028line\u0085end",
    "n" * EXTREMELY,
    "Z\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309\u030a",
    "</code></pre><iframe src='https://example.com/'></iframe>",
    "{{ 7 * 7 }}{% raw %}",
    "\ud800lone",
]


def call(syscall: str, verdict: str, count: int, *programs: str, **more: Any) -> Json:
    """Return a call of a report, which nothing is known of but these."""
    errno = "ENOSYS" if verdict == "degrades" else "EPERM"
    known: Json = {"verdict": verdict, "count": count, "programs": list(programs), "errno": errno}
    known |= {"first": "2026-11-17T09:12:40.120Z", "arguments": []}
    return {**node_reports.call(syscall), **known, **more}


def workload(name: str, verdict: str | None, *calls: Json, **more: Any) -> Json:
    """Return a workload that is called NAMESPACE/POD/CONTAINER|IMAGE, with what is suggested."""
    path, _, image = name.partition("|")
    namespace, pod, container = path.split("/")
    names = [one["syscall"] for one in calls]
    addition = json.dumps({"names": names, "action": "SCMP_ACT_ALLOW"}, indent=2)
    profile = f"{namespace}_{pod}_{container}.json"
    known: Json = {"namespace": namespace, "pod": pod, "container": container, "image": image}
    known |= {"name": path, "verdict": verdict, "confidence": WEEK}
    known |= {"addition": addition if calls else "", "rule": _RULE.format(path) if calls else ""}
    known |= {"file": profile, "annotation": f"runc-wrap/seccomp.{container}: localhost/{profile}"}
    return {**node_reports.workload(pod, *calls), **known, **more}


_RULE = """[[rule]]
name = "{0}: what it was seen to need"
profile = "localhost/own.json"
mode = "enforce"
"""


def usual() -> list[Json]:
    """Return a dozen workloads: six would break, one was hardly watched, one not at all."""
    unshare, mount = call("unshare", "denied", 412, "/usr/bin/unshare"), call("mount", "denied", 87)
    mount["programs"] = ["/usr/bin/mount", "/usr/bin/buildctl-daemonless.sh"]
    clone = call("clone", "depends", 1931, "/usr/bin/buildkitd")
    clone3 = call("clone3", "degrades", 20_418, "/usr/lib/jvm/java-25/bin/java")
    uring = [call(f"io_uring_{one}", "denied", 9_001, "/usr/bin/fio") for one in ("setup", "enter")]
    perf = call("perf_event_open", "denied", 63, "/usr/bin/perf")
    key = call("keyctl", "denied", 5, "/usr/bin/keyctl", "/usr/sbin/request-key", abi="x86")
    family = call("socket", "depends", 12, "/usr/bin/python3.13")
    family["arguments"] = ["AF_ALG, SOCK_SEQPACKET, 0"]
    return [
        workload(BUILDS, "denied", unshare, mount, clone, warnings=MANY),
        workload("storage/bench/fio|registry.example/bench/fio:3.41", "denied", *uring),
        workload("debug/profiler/perf|registry.example/debug/perf:6.12", "denied", perf, unshare),
        workload("legacy/auth-gateway/keys|registry.example/legacy/auth:7", "denied", key),
        workload("data/pipelines/crypto-worker|registry.example/data/w:12", "depends", family),
        workload("shop/search/elastic|elasticsearch:9.2", "degrades", clone3, lost=230),
        *(workload(name, "safe") for name in SAFE[:5]),
        workload(SAFE[5], "safe", confidence=MINUTE, containers=1, restarts=0),
        workload("batch/nightly/report|", None, containers=1, confidence="Nothing was watching."),
    ]


def large(workloads: int, calls: int) -> list[Json]:
    """Return denied workloads that each make so many calls."""
    made = [call(f"call_number_{n}", "denied", n + 1, f"/usr/bin/p{n}") for n in range(calls)]
    return [workload(f"team/service-{at}/c|image:{at}", "denied", *made) for at in range(workloads)]


def hostile() -> list[Json]:
    """Return workloads whose texts are all from HOSTILE."""
    return [
        {
            **workload("a/b/c|d", "denied", call("mount", "denied", 1)),
            **dict.fromkeys(("name", "image", "confidence", "reason", "addition", "rule"), text),
            "warnings": [text] * 30,
            "calls": [
                call("mount", "denied", 1)
                | dict.fromkeys(("syscall", "abi", "errno", "outcome", "first", "last"), text)
                | {"programs": [text] * 9, "arguments": [text]}
            ],
        }
        for text in HOSTILE
    ]
