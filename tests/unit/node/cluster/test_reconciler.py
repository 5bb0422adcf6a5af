"""The installer on a node whose host and API server are stand-ins: what it does, and says."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.node import apply_policy
from runc_wrap.node.cluster import node_record
from runc_wrap.node.cluster.cluster_policy import policy_files
from runc_wrap.node.cluster.host_commands.node_commands import NodeCommands
from runc_wrap.node.cluster.host_commands.systemd_manager import (
    DONE,
    RUNNING,
    SystemdError,
    UnitEnd,
)
from runc_wrap.node.cluster.kubernetes_api import api_server
from runc_wrap.node.cluster.node_reporter import Pod, Reporter
from runc_wrap.node.cluster.reconciler import Installer
from runc_wrap.node.cluster.removal import Remover
from runc_wrap.node.paths import Places
from tests.unit.node.cluster import api_stand_in
from tests.unit.node.cluster.host_stand_in import OURS, Host, Killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.node.cluster.api_stand_in import StandIn

LISTED = [{"name": ""}, {"name": "runc"}]
STATE, READY = "runc-wrap.dev/state", "runc-wrap.dev/ready"


def _node(engine: str = "containerd://1.7.24") -> dict[str, Any]:
    info = {"containerRuntimeVersion": engine, "kernelVersion": "6.1.0-1"}
    return {
        "metadata": {"name": "n1", "uid": "u", "resourceVersion": "7"},
        "spec": {},
        "status": {"nodeInfo": info, "runtimeHandlers": LISTED},
    }


@dataclass
class Scene:
    """One node, with all that a pod on it reaches."""

    place: Path
    api: StandIn
    host: Host
    told: list[str] = field(default_factory=list)

    @property
    def pod(self) -> Pod:
        place = self.place
        return Pod("n1", "pod-1", place / "image", place / "config", place / "own",
                   state=place / "pod" / "state")  # fmt: skip

    def reporter(self, pod: Pod | None = None) -> Reporter:
        api = self.api.api(self.place)
        return Reporter(self.host.places, pod or self.pod, api, self.told.append)

    def installer(self, pod: Pod | None = None) -> Installer:
        """A new pod."""
        places = self.host.places
        return Installer(places, NodeCommands(places, self.host), self.reporter(pod))

    def remover(self) -> Remover:
        places = self.host.places
        return Remover(places, NodeCommands(places, self.host), self.reporter())

    def kubelet_lists_it(self) -> None:
        self.api.node["status"]["runtimeHandlers"] = [*LISTED, {"name": "runc-wrap"}]

    @property
    def labels(self) -> dict[str, str]:
        found: dict[str, str] = self.api.node["metadata"].get("labels", {})
        return found

    @property
    def state(self) -> str:
        found: str = self.api.node["metadata"]["annotations"][STATE]
        return found

    @property
    def reasons(self) -> list[str]:
        return [event["reason"] for event in self.api.events]

    def make_image(self, text: str = "1") -> None:
        releases = self.place / "image" / "lib" / "releases" / "0.2.0"
        if not releases.is_dir():
            releases.mkdir(parents=True)
            (self.place / "image" / "lib" / "current").symlink_to("releases/0.2.0")
        (self.place / "image" / "SHA256SUMS").write_text(text)

    def write_policy(self, text: str) -> None:
        (self.place / "config" / "config.toml").write_text(text)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    for name in ("config", "own", "prefix/etc"):
        (tmp_path / name).mkdir(parents=True)
    # compiling needs a runtime and root; what is checked here is who calls it, and when
    monkeypatch.setattr(apply_policy, "check", lambda _: None)
    monkeypatch.setattr(apply_policy, "put_in_force", lambda _: (None, []))
    monkeypatch.setattr(apply_policy, "kept_defaults", lambda *_: [])
    with api_stand_in.running(_node()) as api:
        found = Scene(tmp_path, api, Host(Places(tmp_path / "prefix")))
        found.host.on_register = found.kubelet_lists_it
        found.make_image()
        found.write_policy('[default]\nmode = "audit"\n')
        yield found


def test_a_new_node_becomes_ready_with_its_policy_before_its_handler(scene: Scene) -> None:
    installer = scene.installer()
    assert installer.run().word == "waiting"  # the kubelet has not been asked since
    assert READY not in scene.labels
    assert installer.run().word == "ready"
    assert scene.host.done == [
        "preflight", "lay", "install", "apply", "status", "register", "status", "status",
    ]  # fmt: skip
    assert scene.labels == {READY: "true", "runc-wrap.dev/version": "0.2.0"}
    word, digest = scene.state.split()
    assert word == "ready"
    assert policy_files.record(scene.host.places).digest.startswith(digest)
    assert scene.reasons == ["PolicyApplied", "Installed"]
    assert node_record.state(scene.host.places)["state"] == "ready"


def test_what_an_interrupted_request_left_goes_though_nobody_asks_again(scene: Scene) -> None:
    """`kubectl runc-wrap report` that was ended by Ctrl-C, say."""
    scene.installer().run()
    scene.installer().run()
    old = scene.host.places.cluster / "report-0a.out"
    old.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    scene.host.units["runc-wrap-cluster-report-0a-12345678.service"] = UnitEnd(DONE)
    scene.host.units["runc-wrap-cluster-report-0b-12345678.service"] = UnitEnd(DONE)
    scene.installer().run()
    assert not old.exists()
    assert [*scene.host.units] == ["runc-wrap-cluster-report-0b-12345678.service"]


def test_a_request_that_systemd_does_not_forget_blocks_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.host.places.cluster.mkdir(parents=True)
    units = {}
    for request in ("check-0a", "report-0b"):
        old = scene.host.places.cluster / f"{request}.out"
        old.touch()
        os.utime(old, (time.time() - 3600,) * 2)
        units[request] = f"runc-wrap-cluster-{request}-12345678.service"
        scene.host.units[units[request]] = UnitEnd(DONE)
    forget = scene.host.forget

    def refuses(unit: str) -> None:
        if unit == units["check-0a"]:
            raise SystemdError(f"the host's systemd does not forget {unit}")
        forget(unit)

    monkeypatch.setattr(scene.host, "forget", refuses)
    scene.installer().run()
    assert scene.installer().run().word == "ready"
    assert [*scene.host.units] == [units["check-0a"]]
    assert [one.name for one in scene.host.places.cluster.glob("*-0?.out")] == ["check-0a.out"]
    assert scene.remover().run().word == "removed"


def test_a_configuration_that_the_engine_has_not_read_is_told_and_the_node_stays_ready(
    scene: Scene,
) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.host.done.clear()
    scene.host.drift = ["config.toml was changed; restart it"]
    for _ in range(2):
        assert scene.installer().run().word == "drifted"
    assert scene.host.done == ["status", "status"]
    assert (scene.state.split()[0], scene.labels[READY]) == ("drifted", "true")
    assert scene.reasons[-2:] == ["Installed", "Drifted"]
    assert scene.api.events[-1]["note"] == "config.toml was changed; restart it"
    assert scene.api.events[-1]["type"] == "Warning"
    scene.host.drift = []
    assert scene.installer().run().word == "ready"


def test_where_nothing_is_to_be_done_nothing_is_done(scene: Scene) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.host.done.clear()
    scene.api.requests.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["status"]
    assert [method for method, _ in scene.api.requests] == ["GET"]


CALLS = 40  # of the host's systemd, until a new node is ready


def _calls_until_ready(scene: Scene) -> int:
    scene.installer().run()
    scene.installer().run()
    return scene.host.calls


@pytest.mark.parametrize("dies_at", range(1, CALLS + 1))
def test_killed_at_any_call_the_next_pod_goes_on(scene: Scene, dies_at: int) -> None:
    scene.host.dies_at = dies_at
    with contextlib.suppress(Killed):
        scene.installer().run()
        scene.installer().run()
    assert scene.host.calls == dies_at
    scene.host.dies_at = 0
    for _ in range(2):
        decision = scene.installer().run()
    assert decision.word == "ready"
    assert scene.labels[READY] == "true"
    assert scene.host.done.count("register") == 1
    assert not scene.host.units


def test_the_kills_reach_to_the_end(scene: Scene) -> None:
    assert _calls_until_ready(scene) == CALLS


FAILURES = [
    ("preflight", "this kernel has no filters", "refused", "Refused"),
    ("install", "the prefix is read-only", "failed", "NotInstalled"),
    ("register", "a canary does not run", "reverted", "Reverted"),
]


@pytest.mark.parametrize(("step", "why", "word", "reason"), FAILURES)
def test_what_fails_is_said_once_and_not_tried_again_at_once(
    scene: Scene, step: str, why: str, word: str, reason: str
) -> None:
    scene.host.fails[step] = f"Error: {why}\n"
    for _ in range(3):
        decision = scene.installer().run()
    assert (decision.word, decision.why) == (word, why)
    assert scene.host.done.count(step) == 1
    assert READY not in scene.labels
    assert scene.state.split()[0] == word
    assert {reason} <= set(scene.reasons)
    assert any(event["note"] == why for event in scene.api.events)
    del scene.host.fails[step]
    scene.make_image("2")  # another release is another attempt
    scene.installer().run()
    assert scene.installer().run().word == "ready"


def test_a_policy_that_fails_leaves_the_one_before_and_the_node_ready(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.write_policy("[defualt]")
    scene.host.fails["apply"] = "Error: config.toml:1: unknown setting defualt\n"
    decision = scene.installer().run()
    assert decision.word == "policy-refused"
    assert "defualt" in decision.why
    assert scene.labels[READY] == "true"
    assert "audit" in (scene.host.places.etc / "config.toml").read_text()
    assert scene.reasons[-1] == "PolicyRefused"
    scene.write_policy('[default]\nmode = "enforce"\n')
    del scene.host.fails["apply"]
    del monkeypatch
    assert scene.installer().run().word == "ready"
    assert "enforce" in (scene.host.places.etc / "config.toml").read_text()
    assert scene.reasons[-2:] == ["PolicyApplied", "Installed"]


def test_a_roll_out_that_changes_the_policy_only_tells_no_installation(scene: Scene) -> None:
    scene.installer().run()
    scene.installer().run()
    for mode in ("enforce", "audit"):
        scene.write_policy(f'[default]\nmode = "{mode}"\n')
        assert scene.installer().run().word == "ready"
    assert scene.reasons == ["PolicyApplied", "Installed", "PolicyApplied", "PolicyApplied"]
    scene.make_image("2")
    for _ in range(2):
        assert scene.installer().run().word == "ready"
    assert scene.reasons[4:] == ["Installed"]


def test_what_was_proved_before_a_pod_was_killed_is_told_by_the_next(scene: Scene) -> None:
    def dies() -> None:
        raise Killed

    scene.installer().run()
    scene.installer().run()
    scene.host.handlers = []
    scene.host.on_register = dies
    with contextlib.suppress(Killed):
        scene.installer().run()
    assert scene.installer().run().word == "ready"
    assert scene.host.done.count("register") == 2
    assert scene.reasons == ["PolicyApplied", "Installed", "Installed"]


def test_a_kubelet_that_forgets_the_handler_for_a_while_tells_no_installation(scene: Scene) -> None:
    scene.installer().run()
    scene.installer().run()
    for handlers, word in ((LISTED, "waiting"), ([*LISTED, {"name": "runc-wrap"}], "ready")):
        scene.api.node["status"]["runtimeHandlers"] = handlers
        assert scene.installer().run().word == word
    assert scene.reasons == ["PolicyApplied", "Installed"]


UNKNOWN = "config.toml:1: defualt is not a setting (did you mean default.mode?)"
FINDINGS = [
    f"{UNKNOWN}; there are {'x, ' * 200}",
    "config.toml:4: default.mode is 'enforc'; it takes enforce or off (did you mean enforce?).",
    "config.toml:6: rule.nme is not a setting (did you mean rule.name?).",
]
FACE = "\U0001f600"
SHORT = [
    (FINDINGS, f"{UNKNOWN} (and 2 more; all in "),
    (FINDINGS[:1], f"{UNKNOWN} (the whole in "),
    (FINDINGS[1:], f"{FINDINGS[1]} (and 1 more; all in "),
    (FINDINGS[1:2], FINDINGS[1]),
    (["y" * 3000], f"{'y' * 299}… (the whole in "),
    ([FACE * 7999], FACE * 200),
]


@pytest.mark.parametrize(("findings", "note"), SHORT)
def test_the_event_of_a_refused_policy_has_its_first_finding_and_the_state_has_all(
    scene: Scene, findings: list[str], note: str
) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.write_policy("[defualt]")
    said = "\n".join(findings)
    scene.host.fails["apply"] = f"a warning\nError: {said}\n"
    assert scene.installer().run().word == "policy-refused"
    told = scene.api.events[-1]["note"]
    assert told.startswith(note)
    assert len(told) < 450
    assert node_record.state(scene.host.places)["reason"].split("\n") == [
        one.strip() for one in findings
    ]
    assert scene.installer().run().word == "policy-refused"
    assert scene.host.done.count("apply") == 2  # nor is it tried again, or told
    assert scene.reasons.count("PolicyRefused") == 1


def test_a_policy_of_more_than_a_config_map_is_refused_without_asking_the_host(
    scene: Scene,
) -> None:
    scene.write_policy("#" * (1 << 20) + "\n")
    scene.installer().run()
    assert scene.installer().run().word == "policy-refused"
    assert "apply" not in scene.host.done


def test_a_config_map_whose_key_is_misspelt_puts_no_default_in_force(scene: Scene) -> None:
    scene.installer().run()
    scene.installer().run()
    config = scene.place / "config" / "config.toml"
    config.rename(config.with_name("confg.toml"))
    scene.host.done.clear()
    decision = scene.installer().run()
    assert decision.word == "policy-refused"
    assert "has no config.toml" in decision.why
    assert "audit" in (scene.host.places.etc / "config.toml").read_text()
    assert scene.labels[READY] == "true"
    assert scene.host.done == ["status"]


def test_a_new_node_whose_policy_is_refused_takes_no_pods_under_the_default(scene: Scene) -> None:
    scene.host.fails["apply"] = "Error: config.toml:1: unknown setting defualt\n"
    scene.installer().run()  # the kubelet has not been asked since
    assert scene.installer().run().word == "policy-refused"
    assert READY not in scene.labels
    del scene.host.fails["apply"]
    scene.write_policy('[default]\nmode = "observe"\n')
    assert scene.installer().run().word == "ready"
    assert scene.labels[READY] == "true"


def test_an_edited_engine_configuration_is_said_and_not_fought_over(scene: Scene) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.host.handlers = [OURS | {"configured": False}]
    scene.host.done.clear()
    for _ in range(2):
        assert scene.installer().run().word == "edited"
    assert scene.host.done == ["status", "status"]
    assert READY not in scene.labels
    assert scene.reasons[-1] == "Edited"


def test_a_handler_that_is_not_seen_after_its_canary_restarts_the_engine_once(scene: Scene) -> None:
    def forgets() -> None:
        scene.host.handlers = []

    scene.host.on_register = forgets
    for _ in range(3):
        assert scene.installer().run().word == "reverted"
    assert scene.host.done.count("register") == 1


def test_a_handler_that_is_never_seen_is_tried_more_and_more_rarely(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.host.on_register = lambda: setattr(scene.host, "handlers", [])
    now = 0.0
    for count in (1, 2, 3):
        monkeypatch.setattr("runc_wrap.node.cluster.reconciler.time.time", lambda at=now: at)
        scene.installer().run()
        (last,) = node_record.attempts(scene.host.places)
        assert last.count == count
        assert scene.host.done.count("register") == count
        now = last.again
    scene.host.on_register = scene.kubelet_lists_it
    monkeypatch.setattr("runc_wrap.node.cluster.reconciler.time.time", lambda: now)
    scene.installer().run()
    assert scene.installer().run().word == "ready"
    assert node_record.attempts(scene.host.places) == ()


def test_an_upgraded_engine_is_proved_again(scene: Scene) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.host.upgraded = True
    scene.host.done.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["status", "register", "status"]


@pytest.mark.parametrize("what", ["containerRuntimeVersion", "kernelVersion"])
def test_the_policy_is_compiled_again_for_another_engine_or_kernel_before_that_is_proved(
    scene: Scene, what: str
) -> None:
    """`runtime-default` is the engine's own profile, which its upgrade changes."""
    scene.installer().run()
    scene.installer().run()
    other = {"containerRuntimeVersion": "containerd://2.0.1", "kernelVersion": "6.12.0-1"}
    scene.api.node["status"]["nodeInfo"][what] = other[what]
    scene.host.upgraded = True
    scene.host.done.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["apply", "status", "register", "status"]
    assert other[what].rpartition("/")[2] in scene.api.events[-2]["note"]
    scene.host.done.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["status"]


def test_what_apply_remarks_is_in_the_state(scene: Scene) -> None:
    scene.host.remarks = ["warning: restart it", "note: \x1b[31m"]
    scene.installer().run()
    scene.installer().run()
    state = node_record.state(scene.host.places)
    assert state["remarks"] == ["warning: restart it", "note: \\u001b[31m"]
    assert state["since"] <= time.time()
    before = state["since"]
    scene.installer().run()
    assert node_record.state(scene.host.places)["since"] == before


def test_another_release_is_proved_by_a_canary_before_the_node_is_ready_with_it(
    scene: Scene,
) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.make_image("2")
    before = len(scene.host.done)
    assert scene.installer().run().word == "ready"
    assert scene.host.done[before:] == ["preflight", "install", "status", "prove"]
    scene.host.done.clear()
    assert scene.installer().run().word == "ready"
    assert scene.host.done == ["status"]


def test_a_release_that_is_not_proved_loses_the_label_and_is_said_to_be_in_force(
    scene: Scene,
) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.make_image("2")
    scene.host.fails["prove"] = "the canary's filter is not the decided one"
    for _ in range(2):
        decision = scene.installer().run()
    assert (decision.word, decision.why) == ("unproved", scene.host.fails["prove"])
    assert scene.host.done.count("prove") == 1
    assert READY not in scene.labels
    assert scene.reasons[-1] == "Unproved"
    del scene.host.fails["prove"]
    scene.make_image("3")
    assert scene.installer().run().word == "ready"
    assert scene.labels[READY] == "true"


def test_a_canary_that_began_with_the_release_before_proves_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that was killed left its unit, which still runs when the next one looks."""
    scene.installer().run()
    scene.installer().run()
    scene.make_image("2")
    running, end = [UnitEnd(RUNNING), UnitEnd(DONE)], scene.host.end

    def ends(unit: str) -> UnitEnd:
        return running.pop(0) if "-prove-" in unit and running else end(unit)

    monkeypatch.setattr(scene.host, "end", ends)
    assert scene.installer().run().word == "ready"
    assert running == []
    assert scene.host.done.count("prove") == 1


def test_a_registration_that_began_with_the_release_before_proves_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod died while its unit registered, and one of another image takes that up."""
    running, end = [UnitEnd(RUNNING), UnitEnd(DONE)], scene.host.end

    def ends(unit: str) -> UnitEnd:
        if "-register-" not in unit or not running:
            return end(unit)
        if len(running) == 1:  # it ends, and what it did is seen
            scene.host.handlers = [OURS]
        return running.pop(0)

    monkeypatch.setattr(scene.host, "end", ends)
    scene.kubelet_lists_it()
    assert scene.installer().run().word == "ready"
    assert running == []
    assert "register" not in scene.host.done
    assert scene.host.done.count("prove") == 1


def _taken_away(scene: Scene) -> None:
    scene.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]


def test_a_registration_that_a_boot_took_away_comes_back_once_in_each_boot(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on EKS, where /etc/containerd/config.toml is written anew at each boot."""
    scene.installer().run()
    scene.installer().run()
    for boot in ("second", "third"):
        monkeypatch.setattr("runc_wrap.node.engines.transaction.journal.boot", lambda at=boot: at)
        _taken_away(scene)
        scene.host.done.clear()
        assert scene.installer().run().word == "ready"
        assert scene.host.done == ["status", "register", "status"]
    _taken_away(scene)
    assert scene.installer().run().word == "edited"
    assert READY not in scene.labels


def test_a_registration_that_somebody_took_away_stays_away_after_a_boot(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.installer().run()
    scene.installer().run()
    _taken_away(scene)
    assert scene.installer().run().word == "edited"
    monkeypatch.setattr("runc_wrap.node.engines.transaction.journal.boot", lambda: "second")
    scene.host.done.clear()
    assert scene.installer().run().word == "edited"
    assert scene.host.done == ["status"]


def test_what_outlived_a_boot_and_is_taken_away_within_it_stays_away(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.installer().run()
    scene.installer().run()
    monkeypatch.setattr("runc_wrap.node.engines.transaction.journal.boot", lambda: "second")
    assert scene.installer().run().word == "ready"
    _taken_away(scene)
    assert scene.installer().run().word == "edited"


def test_a_node_that_is_refused_before_its_installation_has_nothing_laid_down(
    scene: Scene,
) -> None:
    scene.host.fails["preflight"] = "this node has containerd (/a) and containerd (/b)"
    decision = scene.installer().run()
    assert (decision.word, decision.why) == ("refused", scene.host.fails["preflight"])
    assert scene.host.done == ["preflight"]
    assert not [*scene.host.places.cluster.glob("archive-*")]
    assert not (scene.host.places.prefix / "lib").exists()


def test_the_first_release_is_installed_with_the_policy_which_may_name_its_runtime(
    scene: Scene,
) -> None:
    """As where only CRI-O's own crun is there, which runc-wrap does not look for."""
    scene.host.fails["preflight"] = "none of the runtimes runc, crun was found"
    for _ in range(2):
        assert scene.installer().run().word == "refused"
    assert scene.host.done == ["preflight"]
    del scene.host.fails["preflight"]
    told: dict[str, Any] = {}
    start = scene.host.start

    def look(unit: str, argv: list[str], *rest: Any, **more: Any) -> None:
        step = unit.removeprefix("runc-wrap-cluster-").rpartition("-")[0]
        told.setdefault(step, (argv, policy_files.candidate_config(scene.host.places).read_text(),
                               scene.host.places.config.exists()))  # fmt: skip
        start(unit, argv, *rest, **more)

    scene.host.start = look  # type: ignore[method-assign,assignment]
    scene.write_policy('runtime = ["/usr/libexec/crio/crun"]\n')
    assert scene.installer().run().word == "waiting"  # and not an hour later
    argv, candidate, is_there = told["preflight"]
    assert argv[-1] == "--candidate"
    assert ("crio/crun" in candidate, is_there) == (True, False)
    assert told["install"][2]
    assert [*told].index("lay") < [*told].index("install")
    scene.make_image("2")
    told.clear()
    scene.installer().run()
    assert told["preflight"][0][-1] != "--candidate"  # install.sh compiles what is there
    assert "lay" not in told


def test_a_first_policy_that_does_not_check_is_said_where_the_release_cannot_do_without_it(
    scene: Scene,
) -> None:
    scene.host.fails["lay"] = "Error: config.toml:2: unknown setting defualt\n"
    scene.host.fails["install"] = "none of the runtimes was found"
    decision = scene.installer().run()
    assert decision.word == "failed"
    assert "none of the runtimes was found; the policy was not taken: config.toml" in decision.why
    scene.make_image("2")
    del scene.host.fails["install"]
    scene.installer().run()
    assert scene.installer().run().word == "ready"  # with what `apply` takes


def test_a_policy_of_the_nodes_own_counts_for_its_first_release(scene: Scene) -> None:
    scene.host.places.config.write_text("# mine\n")
    scene.installer().run()
    assert "lay" not in scene.host.done
    assert scene.host.places.config.read_text() == "# mine\n"


def test_a_release_that_is_refused_leaves_the_one_before_and_the_label(scene: Scene) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.make_image("2")
    scene.host.fails["preflight"] = "containerd refuses its configuration"
    assert scene.installer().run().word == "refused"
    assert scene.host.done.count("install") == 1
    assert scene.labels[READY] == "true"


def _refused_with_an_earlier_release(scene: Scene) -> None:
    scene.installer().run()
    scene.installer().run()
    releases = scene.place / "image" / "lib"
    (releases / "releases" / "0.3.0").mkdir()
    (releases / "current").unlink()
    (releases / "current").symlink_to("releases/0.3.0")
    scene.make_image("2")
    scene.host.fails["preflight"] = "containerd refuses its configuration"
    assert scene.installer().run().word == "refused"
    scene.host.done.clear()


def test_an_earlier_release_is_registered_again_after_a_boot_though_another_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refused_with_an_earlier_release(scene)
    monkeypatch.setattr("runc_wrap.node.engines.transaction.journal.boot", lambda: "second")
    scene.host.handlers = [OURS | {"configured": False, "in_force": False, "gone": True}]
    labels: list[bool] = []
    scene.host.on_register = lambda: labels.append(READY in scene.labels)
    assert scene.installer().run().word == "refused"
    assert scene.host.done == ["status", "register", "status"]
    assert labels == [False]  # no pod came meanwhile
    assert scene.labels == {READY: "true", "runc-wrap.dev/version": "0.2.0"}
    proved, installed = node_record.proved, node_record.installed
    assert proved(scene.host.places).archive == installed(scene.host.places).archive


def test_an_earlier_release_that_lost_its_handler_loses_the_label_though_another_is_refused(
    scene: Scene,
) -> None:
    _refused_with_an_earlier_release(scene)
    scene.host.handlers = [OURS | {"configured": False, "in_force": False}]
    assert scene.installer().run().word == "edited"
    assert READY not in scene.labels


def test_a_policy_reaches_a_node_on_which_another_release_is_refused(scene: Scene) -> None:
    _refused_with_an_earlier_release(scene)
    scene.write_policy('[default]\nmode = "off"\n')
    assert scene.installer().run().word == "refused"
    assert "off" in (scene.host.places.etc / "config.toml").read_text()
    assert scene.host.done == ["preflight", "apply", "status"]
    assert scene.labels == {READY: "true", "runc-wrap.dev/version": "0.2.0"}


def test_the_api_server_may_go_away_in_the_middle(scene: Scene) -> None:
    installer = scene.installer()
    down = scene.api.port

    def away() -> None:
        scene.kubelet_lists_it()
        scene.api.port = 1

    scene.host.on_register = away
    assert installer.run().word == "waiting"
    assert "register" in scene.host.done
    assert READY not in scene.labels
    assert any("does not answer" in each for each in scene.told)
    heard = [installer.reporter.is_heard]  # if not, it is told again soon
    scene.api.port = down
    assert installer.run().word == "ready"
    assert [*heard, installer.reporter.is_heard] == [False, True]
    assert scene.labels[READY] == "true"
    assert scene.reasons == ["PolicyApplied", "Installed"]


@pytest.mark.parametrize(("status", "is_heard"), [(409, False), (503, False), (403, True)])
def test_what_is_refused_only_for_now_is_told_again_soon(
    scene: Scene, status: int, *, is_heard: bool
) -> None:
    def refuses() -> None:
        scene.api.refuses = status

    scene.host.on_register = refuses
    installer = scene.installer()
    installer.run()
    assert installer.reporter.is_heard == is_heard


def test_an_event_that_is_never_taken_does_not_keep_others_back(scene: Scene) -> None:
    scene.api.invalid = "PolicyApplied"
    installer = scene.installer()
    installer.run()
    assert installer.run().word == "ready"
    assert scene.reasons == ["Installed"]
    assert any("422" in each for each in scene.told)


def test_without_the_api_server_a_new_pod_does_nothing(scene: Scene) -> None:
    scene.api.refuses = 503
    with pytest.raises(api_server.Unreachable):
        scene.installer().run()
    assert scene.host.done == []


def test_a_node_of_another_engine_is_refused_with_a_sentence(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the host's systemd cannot be reached, which it needs not."""

    def silent(_: str) -> list[str]:
        raise SystemdError("it does not answer")

    monkeypatch.setattr(scene.host, "names", silent)
    scene.api.node = _node("docker://26.1")
    decision = scene.installer().run()
    assert decision.word == "refused"
    assert "needs containerd or CRI-O" in decision.why
    assert scene.host.done == []
    assert scene.reasons == ["Refused"]


def test_a_taint_keeps_pods_off_until_the_node_is_ready(scene: Scene) -> None:
    pod = replace(scene.pod, taints=True)
    installer = scene.installer(pod)
    installer.run()
    assert [one["key"] for one in scene.api.node["spec"]["taints"]] == ["runc-wrap.dev/installing"]
    installer.run()
    assert scene.api.node["spec"]["taints"] == []


def test_an_archive_is_laid_down_whole_and_removed_after_it_was_installed(scene: Scene) -> None:
    (scene.place / "image" / "install.sh").write_text("#!/bin/sh\n")
    seen = []

    def look(unit: str, argv: list[str], *rest: Any, **more: Any) -> None:
        if "-install-" in unit:
            seen.append((scene.place / argv[1]).read_text())
        Host.start(scene.host, unit, argv, *rest, **more)

    scene.host.start = look  # type: ignore[method-assign,assignment]
    scene.installer().run()
    assert seen == ["#!/bin/sh\n"]
    assert not [*scene.host.places.cluster.glob("archive-*")]


def test_everything_is_taken_off_again(scene: Scene) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.host.done.clear()
    remover = scene.remover()
    assert remover.run().word == "removed"
    assert scene.host.done == ["status", "unregister", "uninstall"]
    assert not scene.labels
    assert STATE not in scene.api.node["metadata"]["annotations"]
    assert scene.reasons[-1] == "Removed"
    assert remover.run().word == "removed"
    assert scene.reasons.count("Removed") == 1


@pytest.mark.parametrize("own", [False, True])
def test_settings_go_with_the_rest_unless_the_node_has_its_own(scene: Scene, *, own: bool) -> None:
    scene.installer().run()
    if own:
        scene.host.places.config_directory.mkdir(exist_ok=True)
        (scene.host.places.config_directory / "90-node.toml").touch()
    scene.remover().run()
    assert scene.host.purged is not own


def test_a_removal_that_is_refused_says_why_and_goes_on_later(scene: Scene) -> None:
    scene.installer().run()
    scene.installer().run()
    scene.host.fails["uninstall"] = "Error: 2 containers in mode observe run\n"
    decision = scene.remover().run()
    assert (decision.word, decision.why) == ("removing", "2 containers in mode observe run")
    assert READY not in scene.labels
    assert scene.reasons[-1] == "NotRemoved"
    for _ in range(3):
        assert scene.remover().run() == decision
    assert scene.reasons.count("NotRemoved") == 1
    del scene.host.fails["uninstall"]
    assert scene.remover().run().word == "removed"


def test_a_handler_that_cannot_be_removed_is_tried_more_and_more_rarely(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt may restart the engine twice: by the change, and by its being taken back."""
    scene.installer().run()
    scene.host.fails["unregister"] = "Error: containerd does not start a container\n"
    now = 0.0
    for count in (1, 2, 3):
        monkeypatch.setattr("runc_wrap.node.cluster.removal.time.time", lambda at=now: at)
        for _ in range(3):
            decision = scene.remover().run()
            assert decision.word == "removing"
            assert decision.why == "containerd does not start a container"
        assert scene.host.done.count("unregister") == count
        (last,) = node_record.attempts(scene.host.places)
        now = last.again
    del scene.host.fails["unregister"]
    monkeypatch.setattr("runc_wrap.node.cluster.removal.time.time", lambda: now)
    assert scene.remover().run().word == "removed"


def test_a_systemd_that_does_not_answer_is_trouble_and_no_failed_attempt(scene: Scene) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise SystemdError("it does not answer")

    scene.host.start = silent  # type: ignore[method-assign]
    with pytest.raises(SystemdError):
        scene.installer().run()
    assert node_record.attempts(scene.host.places) == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '[{"step": 1}]', "[" * 5000, '{"archive": 3}'])
def test_damaged_records_are_as_none(scene: Scene, text: str) -> None:
    scene.host.places.cluster.mkdir(parents=True)
    for name in (
        "installed.json",
        "attempts.json",
        "state.json",
        "policy.json",
        "proved.json",
        "applied.json",
    ):
        (scene.host.places.cluster / name).write_text(text)
    scene.installer().run()
    assert scene.installer().run().word == "ready"


def test_the_pods_other_container_reads_each_state_beside_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = scene.place / "pod" / "state"
    scene.installer().run()  # a pod without the other container has no place for it
    assert not state.parent.exists()
    state.parent.mkdir()
    words: list[str] = []
    told = Reporter.report

    def report(self: Reporter, *words_of: Any) -> None:
        told(self, *words_of)
        words.append(state.read_text())

    monkeypatch.setattr(Reporter, "report", report)
    scene.installer().run()
    scene.remover().run()
    assert words == ["ready", "removing", "removed"]
    assert [path.name for path in state.parent.iterdir()] == ["state"]


def test_a_state_that_cannot_be_written_for_the_other_container_keeps_nothing_back(
    scene: Scene,
) -> None:
    (scene.place / "pod" / "state").mkdir(parents=True)  # in its place
    scene.installer().run()
    assert scene.installer().run().word == "ready"
    assert READY in scene.labels
    assert any("pod/state" in line for line in scene.told)
