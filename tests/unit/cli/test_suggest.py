"""runc-wrapctl suggest: what it adds, what it withholds, and what `record` saw."""

import json
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.evidence.sightings import OBSERVE, RECORDED, LossSpan, Sighting
from runc_wrap.evidence.store.call_counts import RUNTIME
from runc_wrap.hotpath import policy_file
from runc_wrap.profiles.return_codes import USER_NOTIF
from tests.unit.cli.conftest import APP, Evidence, merge_file, own_report
from tests.unit.cli.ctl import Node
from tests.unit.evidence.samples import CLONE3, sighting

MBIND, BPF, SECCOMP = 237, 321, 317
MKDIR, SOCKET, OPENAT2, SYMLINK = 83, 41, 437, 88
NAME = "shop/web/app"


def test_the_image_tells_workloads_apart(applied: Node, evidence: Evidence, tmp_path: Path) -> None:
    for number in (1, 2):
        names = {**APP, "image": f"web:{number}"}
        evidence.container(f"{number}" * 64, sighting(MBIND), **names)
    told = "several workloads have this name; give one of: shop/web/app@web:1, shop/web/app@web:2"
    assert told in applied.failure("suggest", "shop/web/app")
    result = applied.ctl("suggest", "shop/web/app@web:2", status=0)
    assert 'image = ["web:2"]' in result.stderr
    assert "matches other workloads" not in result.stderr
    for word in ("web:1", "1111"):  # by its image and by its id
        assert applied.ctl("suggest", word).exit_code == 0
    assert "there is no such workload; give one of: shop/web" in applied.failure("suggest", "113")
    reported = applied.ctl("report", "--json", status=1)
    found = json.loads(reported.stdout)
    assert len({one["file"] for one in found}) == len({one["rule"] for one in found}) == 2
    page = tmp_path / "out.html"
    applied.ctl("report", "--html", str(page))
    for one in found:
        assert f"suggest {one['name']} &gt; " in page.read_text()
        assert f"/{one['file']}" in page.read_text()


def test_suggest_says_what_else_its_rule_matches_and_where_it_belongs(
    applied: Node, evidence: Evidence
) -> None:
    names = {"namespace": "shop", "container": "app", "image": "i", "rule": "shop-audit"}
    pods = ("web-7d9c8b5f6-x2k4p", "web-admin-7d9c8b5f6-x2k4p", "webshop-7d9c8b5f6-x2k4p")
    for place, pod in enumerate(pods):
        evidence.container(f"c{place}", sighting(MBIND), pod=pod, **names)
    for number, other in enumerate(({"namespace": "other"}, {"container": "sidecar"})):
        evidence.container(f"o{number}", sighting(MBIND), **{**names, "pod": pods[1], **other})
    told = applied.ctl("suggest", "shop/web/app").stderr
    assert "would also confine other workloads: shop/web-admin/app\n" in told
    assert "before the rule shop-audit, which decided" in told
    assert "matches other workloads" not in applied.ctl("suggest", "shop/web-admin/app").stderr


@pytest.mark.parametrize("calls", [(), (sighting(),)], ids=["unknown", "denied"])
def test_suggest_says_why_calls_may_be_missing_and_what_to_do(
    applied: Node, evidence: Evidence, calls: tuple[Sighting, ...]
) -> None:
    evidence.container("c1", sighting(SECCOMP), *calls, mode="audit")
    told = applied.ctl("suggest", "--allow-dangerous", "c1").stderr
    assert ("nothing was added" in told) is not bool(calls)
    assert "Calls may be missing." in told
    assert "its programs installed filters of their own (once, by " in told.lower()
    assert "run `runc-wrapctl apply`, recreate its containers, let them do their work" in told
    unknown = json.loads(applied.ctl("suggest", "--json", "c1").stdout)["reason"]
    assert (unknown is None) is bool(calls)


def test_suggest_says_that_there_is_nothing_to_add(applied: Node, evidence: Evidence) -> None:
    evidence.container("c1", sighting(CLONE3))
    result = applied.ctl("suggest", "c1")
    assert "nothing was added" in result.stderr
    assert "degrading: 1 call left out, which would get ENOSYS:\n  clone3: ENOSYS;" in result.stderr
    assert "`runc-wrapctl suggest --degrading -- c1` allows such calls." in result.stderr
    asked = applied.ctl("suggest", "--degrading", "--allow-dangerous", "c1")
    assert "degrading:" not in asked.stderr
    assert '"clone3"' in asked.stdout


PRINTED = [
    ("", "runtime-default + mbind + unshare"),
    ("containerd@2.1.0", "containerd@2.1.0 + mbind + unshare"),
    ("runtime-default + keyctl", "runtime-default + keyctl + mbind + unshare"),
    ("localhost/own.json", "localhost/own.json + mbind + unshare"),
    ("localhost/open.json", ""),
]


@pytest.mark.parametrize(("given", "printed"), PRINTED)
def test_suggest_prints_a_composed_profile_that_a_rule_names(
    applied: Node, evidence: Evidence, given: str, printed: str
) -> None:
    closed = {"defaultAction": "SCMP_ACT_ERRNO"}
    denying = {"names": ["mbind", "unshare"], "action": "SCMP_ACT_ERRNO"}
    allowing = {"names": ["clone3", "execve"], "action": "SCMP_ACT_ALLOW"}
    own = {"own": {**closed, "syscalls": [allowing]},
           "open": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denying]}}  # fmt: skip
    files = {name: json.dumps(one).encode() for name, one in own.items()}
    written = f'[default]\nprofile = "{given}"\n' if given else ""
    applied.apply(written, **files)
    policy = policy_file.load(str(applied.places.prefix))
    on = policy.get("composed", {}).get(given, {})
    name = on.get("unknown") or given or policy["runtime_default"]["unknown"]
    evidence.container("c1", sighting(MBIND), sighting(), profile=name, mode="audit", **APP)
    result = applied.ctl("suggest", "--allow-dangerous", "shop/web/app")
    rule = result.stderr[result.stderr.index("[[rule]]") : result.stderr.index("\nand run")]
    assert (f'profile = "{printed}"' in rule) == bool(printed), result.output
    assert ("Save it as" in result.stderr) == ("base" not in json.loads(result.stdout))
    applied.apply(written + rule, **files, shop_web_app=result.stdout.encode())
    chosen = printed or "localhost/shop_web_app.json"
    gained = applied.ctl("profile", "diff", given or "runtime-default", chosen, "--json")
    found = {one["syscall"] for one in json.loads(gained.stdout)["differences"]}
    assert found == {"mbind", "unshare"}
    applied.ctl("profile", "diff", "localhost/shop_web_app.json", chosen, status=0)


def test_suggest_withholds_dangerous_calls_and_lists_them_separately(
    applied: Node, evidence: Evidence, tmp_path: Path
) -> None:
    evidence.container("c1", sighting(MBIND), sighting(BPF, exe="/tmp/evil"), container="app")
    result = applied.ctl("suggest", "app", status=0)
    assert [one["names"] for one in json.loads(result.stdout)["add"]] == [["mbind"]]
    apart = result.stderr[result.stderr.index("withheld: 1 call left out") :].split("\n\n")[0]
    assert "bpf (EPERM; seen once, by /tmp/evil, " in apart
    assert "it loads programs into the kernel." in apart
    assert "`runc-wrapctl suggest --allow-dangerous -- app`" in apart
    found = json.loads(applied.ctl("suggest", "--json", "app").stdout)
    assert [one["names"] for one in found["added"]] == [["mbind"]]
    assert [one["syscall"] for one in found["withheld"]] == ["bpf"]
    reported = applied.ctl("report", "--json", status=1)
    (document,) = json.loads(reported.stdout)
    assert "bpf" not in document["addition"]
    assert document["withheld"] == found["withheld"]
    page = tmp_path / "out.html"
    applied.ctl("report", "--html", str(page))
    assert "bpf: it loads programs into the kernel." in page.read_text()
    asked = applied.ctl("suggest", "--allow-dangerous", "app")
    assert "withheld" not in asked.stderr
    assert "warning: bpf is dangerous: it loads programs" in asked.stderr
    assert '"bpf"' in asked.stdout


def recorded(number: int, *args: int) -> Any:
    words = (*args, 0, 0, 0, 0, 0, 0)[:6]
    code = USER_NOTIF | RECORDED
    return sighting(number)._replace(code=code, args=words, source=OBSERVE)


@pytest.fixture
def observed(evidence: Evidence) -> Evidence:
    evidence.store.state.add_watched(OBSERVE, evidence.now - 3600, evidence.now)
    return evidence


def _record(evidence: Evidence, name: str, *calls: Any) -> None:
    evidence.container(name, *calls, **APP, mode="enforce", recorded=True)
    evidence.store.add(("/run/test", name), recorded(OPENAT2), made_by=RUNTIME)
    evidence.store.flush()


def _allowed(profile: Any) -> set[str]:
    rules = [one for one in profile["syscalls"] if one["action"] == "SCMP_ACT_ALLOW"]
    return {name for one in rules for name in one["names"]}


def test_what_was_recorded_is_no_verdict_and_is_kept(applied: Node, observed: Evidence) -> None:
    _record(observed, "c1", recorded(MKDIR, 0x7F00_0000), recorded(SOCKET, 2, 1))
    (row,) = own_report(applied, "a")["workloads"]
    assert (row["verdict"], row["calls"]) == (None, [])
    assert row["reason"].startswith("Already enforced")
    assert (row["recorded"]["containers"], row["recorded"]["whole"]) == (1, 1)
    calls = {one["syscall"]: one for one in row["recorded"]["calls"]}
    assert calls.keys() == {"mkdir", "socket", "openat2"}
    assert calls["socket"]["args"] == [[2, 1, 0, None, None, None]]
    assert calls["mkdir"]["args"] is None
    made = applied.ctl("suggest", "--recorded", NAME, status=0)
    allowed = _allowed(json.loads(made.stdout))
    assert {"mkdir", "socket", "openat2", "read", "execve", "clone", "vfork"} <= allowed
    assert not {"symlink", "kill", "bind"} & allowed
    assert "recorded: Recorded in 1 container, 1 of them from the start" in made.stderr
    assert "the runtime alone made openat2" in made.stderr
    assert "never asked: " in made.stderr
    assert "Calls may be missing" not in made.stderr


def test_nodes_are_added_up(applied: Node, observed: Evidence) -> None:
    _record(observed, "c1", recorded(MKDIR))
    first = own_report(applied, "a")
    observed.store.lost(LossSpan(observed.now - 500, 3, OBSERVE, "why"))
    _record(observed, "c2", recorded(SYMLINK))
    files = [merge_file(applied, "a", first), merge_file(applied, "b", own_report(applied, "b"))]
    made = applied.ctl("suggest", "--recorded", "--merge", NAME, *files, status=0)
    assert {"mkdir", "symlink", "openat2"} <= _allowed(json.loads(made.stdout))
    assert "Recorded in 3 containers on 2 nodes" in made.stderr
    assert "3 records lost" in made.stderr
    assert "3 records were lost while its containers ran" in made.stderr


def test_calls_of_no_container_are_a_doubt_and_no_strays(applied: Node, observed: Evidence) -> None:
    observed.stray(recorded(MKDIR))
    _record(observed, "c1", recorded(SYMLINK))
    observed.container("c2", container="quiet")
    made = applied.ctl("suggest", "--recorded", NAME)
    assert "recorded: 1 call came of no known container." in made.stderr
    rows = own_report(applied, "a")["workloads"]
    assert {one["container"]: one["verdict"] for one in rows} == {"app": None, "quiet": "safe"}


def test_in_observe_the_profile_says_what_was_recorded(applied: Node, observed: Evidence) -> None:
    sent = [sighting(one)._replace(code=USER_NOTIF, source=OBSERVE) for one in (MKDIR, 165)]
    observed.container("c1", *sent, **APP, mode="observe", recorded=True)
    (row,) = own_report(applied, "a")["workloads"]
    assert [one["syscall"] for one in row["calls"]] == ["mount"]
    assert [one["syscall"] for one in row["recorded"]["calls"]] == ["mkdir"]


def test_without_a_recording_it_says_how_to_make_one(applied: Node, observed: Evidence) -> None:
    observed.container("c1", sighting(), **APP)
    said = applied.failure("suggest", "--recorded", NAME)
    assert "nothing was recorded. Apply record = true in its rule" in said
