"""What the previous release has written is read, or rebuilt, without loss.

`data` is what 0.2.0 leaves on a node: launcher, agent and precreate hook, with runc and crun, under
the configs of configs.json; report.json and metrics.txt are what its runc-wrapctl then said. Blocks
that it injected are left out of the configs. The containers ran under an earlier build; their
digests, the policy and the evidence are in the form that 0.2.0 writes.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.evidence.store import evidence_reader
from runc_wrap.evidence.store.call_counts import CallKind, Tally
from runc_wrap.hotpath import agent_probe, json_codec, main, policy_file
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.create_facts import Call as Created
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.hotpath.json_codec import digest
from runc_wrap.hotpath.main import Outcome
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.ledger import whole_ledger
from runc_wrap.node.paths import Places
from runc_wrap.policy import policy_store
from runc_wrap.policy.policy_compiler import compile_policy
from runc_wrap.policy.settings import settings_reader
from runc_wrap.report import call_outcomes
from runc_wrap.report.enforced_profile import Enforced, Profiles
from tests.unit.cli import ctl
from tests.unit.evidence import samples
from tests.unit.policy import node as policies

Json = dict[str, Any]
DATA = Path(__file__).parent / "data"
FILES = ("ledger.2.jsonl", "ledger.1.jsonl", "ledger.jsonl")
TEXTS = "".join((DATA / "var/ledger" / name).read_text() for name in FILES)
LINES: list[Json] = [json.loads(line) for line in TEXTS.splitlines()]
CONFIGS: dict[str, Json] = json.loads((DATA / "configs.json").read_text())
CONFINED = [line for line in LINES if line["action"] == "inject"]
CAPABILITIES = frozenset({"CAP_KILL"})  # of all these containers
PREFIX = "/run/upgrade-sample/prefix"  # where it was installed


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A node's files as the previous release left them."""
    shutil.copytree(DATA / "var", tmp_path / "prefix/var", symlinks=True)
    shutil.copytree(DATA / "etc", tmp_path / "prefix/etc")
    return Places(tmp_path / "prefix")


def _key(line: Json) -> tuple[str, str]:
    return line["root"], line["id"]


def _name(line: Json) -> str:
    """Return the name of a container's config: its bundle's, which Podman has a directory below."""
    return str(line["bundle"]).removesuffix("/userdata").rpartition("/")[2]


def test_each_container_is_known_by_its_line() -> None:
    ledger = whole_ledger.read(DATA / "var/ledger")
    lines = {key: record.line for key, record in ledger.records.items()}
    assert (ledger.damaged, lines) == (0, {_key(line): line for line in LINES})
    known = Known(DATA / "var/ledger")
    for line in LINES:
        key = _key(line)
        assert known.of(*key) == key
        assert known.mode(key) == line["mode"]
        creator = known.creator(key)
        assert (creator and creator[0]) == line.get("pid")


def test_every_count_of_the_evidence_is_read() -> None:
    evidence = evidence_reader.load(DATA / "var/evidence")
    files = [json.loads(path.read_text()) for path in DATA.glob("var/evidence/containers/*.json")]
    assert evidence.damaged == 0
    assert evidence.containers.keys() == {_key(file) for file in files}
    for file in files:
        seen = evidence.containers[_key(file)]
        assert (seen.ended, seen.dropped) == (file["ended"], file["dropped"])
        assert list(_stored(seen.calls)) == file["calls"]
    assert sum(len(file["calls"]) for file in files) == 5
    state = json.loads((DATA / "var/evidence/state.json").read_text())
    watched = {source: [list(one) for one in times] for source, times in evidence.watched.items()}
    assert watched == state["watched"]
    assert [list(one) for one in evidence.covered] == state["covered"]
    assert evidence.cleared_until == state["cleared_until"]


def _stored(calls: dict[CallKind, Tally]) -> Iterator[list[Any]]:
    for call, tally in calls.items():
        args = None if call.args is None else list(call.args)
        yield [*call[:3], args, *call[4:], tally.count, tally.first, tally.last]


def test_the_report_says_what_the_release_before_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: Places
) -> None:
    node = ctl.node(tmp_path, monkeypatch)
    said = json.loads(node.ctl("report", "--json", "--audit-log", "/dev/null").stdout)
    before = json.loads((DATA / "report.json").read_text())
    assert places.prefix == node.places.prefix
    assert _judged(said) == _judged(before)


def _judged(report: list[Json]) -> dict[str, Json]:
    """Return the report's workloads, and separately the one that still ran."""
    names = "namespace container image modes profile pods ids verdict".split()
    calls = "abi syscall verdict errno outcome args count programs first last".split()
    return {
        one["name"]: {name: one[name] for name in names}
        | {"calls": [{name: call[name] for name in calls} for call in one["calls"]]}
        for one in report
        if one["name"] != "shop/sleeper/sleeper"
    }


def test_no_metric_falls_and_nothing_is_counted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: Places
) -> None:
    said = _samples(ctl.node(tmp_path, monkeypatch).ctl("metrics").stdout)
    before = _samples((DATA / "metrics.txt").read_text())
    kept = {name: value for name, value in before.items() if "_build_info" not in name}
    assert kept.items() <= said.items()
    assert places.var.joinpath("metrics/tally.json").exists()


def _samples(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: value for name, _, value in (line.rpartition(" ") for line in lines)}


def _again(prefix: Path | str, line: Json, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Decide on a container of the sample by the policy in force."""
    monkeypatch.setattr(agent_probe, "has_agent", lambda _: line["via"] == "agent")
    where = {"bundle": line["bundle"], "root": line["root"]}
    call = Created(Invocation("create", where, line["id"]), "runc", line["handler"], _all)
    text = json.dumps(CONFIGS[_name(line)]).encode()
    return main.consider(text, call, policy_file.load(str(prefix)))


def _all() -> frozenset[str]:
    return frozenset({"CAP_SYS_ADMIN"})


@pytest.fixture
def rebuilt(places: Places) -> Places:
    """The same node after this release has recompiled its policy."""
    settings = settings_reader.read(*places.sources())
    own = {"own.json": (places.profiles / "own.json").read_bytes()}
    facts = policies.facts(
        runtime_version="1.1.15+ds1",
        kernel=(6, 18),
        engines={"containerd": "1.7.24"},
        own_profiles=own,
        listener=f"{PREFIX}/var/agent/notify.sock",
    )
    policy_store.put_in_force(compile_policy(settings, facts), places.prefix)
    return places


@pytest.mark.parametrize("compiled", ["by the release before", "anew"])
@pytest.mark.parametrize("line", LINES, ids=_name)
def test_each_container_would_be_decided_the_same(
    line: Json, compiled: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    places = request.getfixturevalue("rebuilt" if compiled == "anew" else "places")
    assert places.current.readlink().name == ("2" if compiled == "anew" else "1")
    if line["reason"].startswith("Started unmodified"):
        with pytest.raises(Refusal, match=r"localhost/none\.json"):
            _again(places.prefix, line, monkeypatch)
        return
    found = _again(places.prefix, line, monkeypatch)
    for name in "action mode profile rule declared ignored".split():
        assert getattr(found.decision, name) == line[name]
    # since then it ends with the ignored annotation
    assert found.decision.reason.startswith(line["reason"].removesuffix("."))
    for name in "engine namespace pod container image handler".split():
        assert getattr(found.who, name) == line[name]
    if compiled != "anew":
        assert (digest(json_codec.dumps(found.block)) if found.block else None) == line["digest"]


@pytest.mark.parametrize("line", CONFINED, ids=_name)
def test_the_filter_of_a_container_of_before_is_known_again(line: Json, rebuilt: Places) -> None:
    policy = policy_file.load(str(rebuilt.prefix))
    made = policy_file.load_profile(policy, line["profile"], line["mode"])
    assert digest(json_codec.dumps(resolve(made, CAPABILITIES))) == line["digest"]


def test_what_was_denied_before_is_not_let_through_by_the_policy_made_anew(rebuilt: Places) -> None:
    """Its bundle is deleted."""
    chroot = CallKind(samples.X86_64, 161, samples.LOG, None, "", "")  # they lack CAP_SYS_CHROOT
    profiles = Profiles(rebuilt.prefix)
    for record in whole_ledger.read(rebuilt.ledger).records.values():
        if record.action == "inject":
            profile = profiles.of(record)
            assert isinstance(profile, Enforced), profile
            assert call_outcomes.of(chroot, profile).verdict == call_outcomes.DENIED
