"""runc-wrapctl cluster: the installer's loop between looks, and what it is asked by kubectl."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runc_wrap.cli import cluster
from runc_wrap.cli.root_command import main
from runc_wrap.cluster import (
    configmap_policy,
    next_step,
    node_reporter,
    policy_directory,
    state_file,
)
from runc_wrap.cluster.api_server import ApiServer
from runc_wrap.cluster.host_commands.systemd_dbus import SystemdError
from runc_wrap.cluster.next_step import NOTHING, READY, REFUSED, REGISTER, REVERTED, NextStep
from runc_wrap.cluster.node_reporter import Pod, Reporter
from runc_wrap.cluster.state_file import Attempt
from runc_wrap.documents.reader import taken
from runc_wrap.fleet.policy_answers import PolicyAnswer
from runc_wrap.host import locks
from runc_wrap.node.paths import Places
from tests.unit.cli.ctl import Node
from tests.unit.cluster.host_stand_in import Host


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(node_reporter, "READY_MARK", tmp_path / "ready")
    monkeypatch.setattr(node_reporter, "READY_SENTENCE", tmp_path / "sentence")
    monkeypatch.setattr(cluster, "_SOON", 0.0)
    monkeypatch.setattr(cluster, "_CONFIG", tmp_path / "config")
    monkeypatch.setattr(cluster, "_PROFILES", tmp_path / "profiles")
    yield tmp_path / "ready"
    for number, handler in former.items():
        signal.signal(number, handler)


def _reporter(place: Path) -> Reporter:
    pod = Pod("n1", "p1", place, place, place)
    api = ApiServer(lambda: HTTPConnection("127.0.0.1", 1), place)
    return Reporter(Places(place), pod, api, print, is_heard=True)


ONCE = [
    (NextStep(NOTHING, READY), 0, "ready"),
    (NextStep(NOTHING, REFUSED), 1, "refused"),
    (NextStep(NOTHING, REFUSED, "no\n \x1b[31mengine"), 1, "refused: no \\u001b[31mengine"),
    (NextStep(NOTHING, REFUSED, "ü" * 2000), 1, f"refused: {'ü' * 291}… (1709 more characters)"),
]


@pytest.mark.parametrize(("decision", "status", "sentence"), ONCE)
def test_once_ends_as_the_node_is_and_the_probe_says_the_same_in_one_line(
    mark: Path, decision: NextStep, status: int, sentence: str
) -> None:
    mark.touch()  # of a container before this one
    with pytest.raises(SystemExit) as ended:
        cluster._keep(lambda: decision, _reporter(mark), once=True, well={READY})  # noqa: SLF001
    assert (ended.value.code, mark.exists()) == (status, decision.word == READY)
    assert mark.with_name("sentence").read_text() == sentence


def test_trouble_is_told_and_it_rests_only_where_all_is_well_and_the_api_server_knows(
    mark: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reporter, seen, rests = _reporter(mark), list[bool](), list[float]()

    def work() -> NextStep:
        seen.append(mark.exists())
        if len(seen) == 1:
            raise SystemdError("systemd is \x1b[31maway")
        if len(seen) == 5:
            os.kill(os.getpid(), signal.SIGTERM)  # the pod's end
        return NextStep(NOTHING, REFUSED if len(seen) == 2 else READY)

    def rest(seconds: float) -> None:
        rests.append(seconds)
        reporter.is_heard = len(rests) != 2

    monkeypatch.setattr(cluster, "_rest", rest)
    with pytest.raises(SystemExit) as ended:
        cluster._keep(work, reporter, once=False, well={READY})  # noqa: SLF001
    assert (ended.value.code, seen) == (0, [False, False, False, True, True])
    assert rests == [0.0, 0.0, 0.0, cluster._PERIOD]  # noqa: SLF001
    told = capsys.readouterr().err
    assert "systemd is" in told
    assert "\x1b" not in told


def test_a_policy_that_changes_ends_the_rest(mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = mark.with_name("config")
    config.mkdir()
    (config / "config.toml").write_text("")

    def glance(_: float) -> None:
        (config / "config.toml").write_text("# another")

    monkeypatch.setattr("runc_wrap.host.polling.time.sleep", glance)
    cluster._rest(3600.0)  # noqa: SLF001
    assert (config / "config.toml").read_text() == "# another"


def _looks(place: Path, *, installs: bool) -> Callable[[], NextStep]:
    """Return what a pod of the node does at each look."""
    return cluster._alone(lambda: NextStep(NOTHING, READY), Places(place), installs=installs)  # noqa: SLF001


@pytest.mark.parametrize("is_new", [True, False])
def test_only_one_pod_of_a_node_works_and_the_other_says_what_to_do(
    mark: Path, monkeypatch: pytest.MonkeyPatch, *, is_new: bool
) -> None:
    """As with the DaemonSet of a pool, and another that is left over from before."""
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    var = Places(mark.parent / "prefix").var
    if not is_new:
        var.mkdir(parents=True)
    first, other = (_looks(mark.parent / "prefix", installs=True) for _ in range(2))
    for removes in (False, True, False):
        if removes:
            (var / locks.DIRECTORY / "installer").unlink()  # as a removal does
        assert first().word == READY
        with pytest.raises(ValueError, match="delete the DaemonSet"):
            other()


def test_a_removal_leaves_no_lock_where_nothing_is_installed_and_waits_where_something_is(
    mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    place = mark.parent / "prefix"
    install, remove = (_looks(place, installs=installs) for installs in (True, False))
    assert remove().word == READY
    assert not Places(place).var.exists()
    install()
    with pytest.raises(ValueError, match="delete the DaemonSet"):
        remove()


AUDIT = '[default]\nmode = "audit"\n'
OWN = json.dumps({"defaultAction": "SCMP_ACT_ALLOW"})
WITH_OWN = '[default]\nprofile = "localhost/own.json"\n'
# The files that are sent, the node's own conf.d -> a word of why it is refused, None if it is not
TRIED: dict[str, tuple[dict[str, str], str, str | None]] = {
    "well": ({"config.toml": AUDIT}, "", None),
    "with a profile": ({"config.toml": WITH_OWN, "profiles/own.json": OWN}, "", None),
    "a typo": ({"config.toml": '[defualt]\nmode = "audit"\n'}, "", "defualt"),
    "without its profile": ({"config.toml": WITH_OWN}, "", "own.json"),
    "against the node's": ({"config.toml": AUDIT}, WITH_OWN, "own.json"),
    "a runtime it lacks": ({"config.toml": 'runtime = ["crun"]\n'}, "", "crun"),
}


def _tried(node: Node, files: dict[str, str]) -> dict[str, Any]:
    data = {name: text.encode() for name, text in files.items()}
    policy_directory.write_files(node.places.cluster / "check-1", data)
    result = node.ctl("cluster", "try-policy", "check-1", "--node", "n1", status=0)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("kind", TRIED)
def test_a_policy_is_tried_with_the_nodes_own_settings_and_nothing_changes(
    node: Node, kind: str
) -> None:
    files, own, why = TRIED[kind]
    node.places.config_directory.mkdir(parents=True)
    (node.places.config_directory / "90-node.toml").write_text(own)
    rule = '[[rule]]\nname = "old"\nmode = "audit"\nuntil = 2020-01-01\n'
    if why is None:
        files = {**files, "config.toml": files["config.toml"] + rule}
    found = _tried(node, files)
    assert any("'old'" in one for one in found["remarks"]) is (why is None)  # as of `apply`
    assert (found["node"], found["changes"], found["changed"]) == ("n1", [], 0)
    told = found["refused"]
    assert "check-1" not in str(told)  # no path of the candidate
    assert (why in told) if why else told is None
    assert not node.places.config.exists()
    assert not node.places.current.exists()
    assert taken(PolicyAnswer, found).refused == found["refused"]


RELEASES = [
    ("0.2.0", "0.2.0", None),
    ("0.2.0", "0.1.0", next_step.OTHER_RELEASE),
    (None, "0.1.0", None),  # the installer will install its own, then put it in force
    ("0.2.0", None, None),
]


@pytest.mark.parametrize(("installed", "in_force", "why"), RELEASES)
def test_where_the_installer_keeps_off_it_would_not_be_put_in_force(
    node: Node, installed: str | None, in_force: str | None, why: str | None
) -> None:
    for name in ("lib", "etc"):
        (node.places.prefix / name).mkdir(parents=True, exist_ok=True)
    if installed:
        state_file.change(node.places, archive="a" * 64, release=installed)
    current = node.places.prefix / "lib" / "current"
    current.unlink(missing_ok=True)
    if in_force:
        current.symlink_to(f"releases/{in_force}")
    assert _tried(node, {"config.toml": AUDIT})["refused"] == why


class Trying(Host):
    """A host on which the wanted policy's files are looked at while the command runs."""

    asked: Sequence[str] = ()
    seen: dict[str, str]

    def _do(self, step: str, argv: Sequence[str]) -> str:
        assert step.startswith(("check-", "report-"))
        self.asked = argv
        place = self.places.cluster / step
        found = (path for path in place.rglob("*") if path.is_file())
        self.seen = {str(path.relative_to(place)): path.read_text() for path in found}
        return '{"form": 1}\n'


def _asked(
    tmp_path: Path, patch: pytest.MonkeyPatch, sent: bytes, *words: str
) -> tuple[Result, Any]:
    """Run check-policy, or another command, in a pod, whose DaemonSet gives the node's name."""
    places = Places(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "runc-wrapctl").touch()
    host = Trying(places)
    patch.setattr(cluster, "_PLACES", places)
    patch.setattr(cluster, "Manager", lambda _: host)
    argv = ["cluster", *(words or ["check-policy"])]
    return CliRunner(env={"NODE_NAME": "n1"}).invoke(main, argv, input=sent), host


def test_the_pod_has_the_host_report_by_the_name_that_its_daemonset_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, host = _asked(tmp_path, monkeypatch, b"", "report", "--candidate")
    assert (result.exit_code, result.stdout) == (0, '{"form": 1}\n'), result.stderr
    assert host.asked[-5:] == ("report", "--json", "--node", "n1", "--candidate")


def test_outside_of_a_pod_an_installation_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = CliRunner().invoke(main, ["cluster", "install", "--node", "n1", "--once"])
    assert (done.exit_code, "not run in a pod" in done.output) == (2, True)


def test_the_pod_has_the_host_try_what_was_sent_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"config.toml": AUDIT, "profiles/own.json": OWN}
    sent = json.dumps(files).encode() + b"\nwhat follows is not read"
    result, host = _asked(tmp_path, monkeypatch, sent)
    assert (result.exit_code, result.stdout) == (0, '{"form": 1}\n'), result.stderr
    assert host.seen == files
    request, *rest = host.asked[-3:]
    assert (request.startswith("check-"), rest) == (True, ["--node", "n1"])
    assert host.asked[-5:-3] == ("cluster", "try-policy")
    assert [*(tmp_path / "var" / "cluster").iterdir()] == []


MANY = {f"profiles/{n}.json": "" for n in range(300)}
MALFORMED = {
    "nothing": b"",
    "no JSON": b"{\n",
    "a list": b"[]\n",
    "no text": b'{"config.toml": 3}\n',
    "half a letter": b'{"config.toml": "\\ud800"}\n',
    "without a policy": b"{}\n",
    "another place": b'{"config.toml": "", "../x": ""}\n',
    "a deeper place": b'{"config.toml": "", "profiles/a/b.json": ""}\n',
    "hidden": b'{"config.toml": "", "profiles/.json": ""}\n',
    "too large": b'{"config.toml": "' + b"x" * (configmap_policy.LARGEST + 1) + b'"}\n',
    "too many": json.dumps({"config.toml": "", **MANY}).encode(),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_no_policy_is_refused_before_the_host_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    result, host = _asked(tmp_path, monkeypatch, MALFORMED[kind])
    assert (result.exit_code, result.stdout, host.asked) == (2, "", ())
    assert result.stderr.startswith("Error: ")
    assert not (tmp_path / "var").exists()


def test_the_pod_prints_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(tmp_path)
    monkeypatch.setattr(cluster, "_PLACES", places)

    def document() -> Any:
        return json.loads(CliRunner().invoke(main, ["cluster", "state"]).stdout)

    assert (document()["state"], document()["since"], document()["attempts"]) == (None, None, [])
    state_file.show(places, state="reverted", reason="no canary")
    failure = Attempt(REGISTER, "k", 0.0, 1, REVERTED, "no canary")
    state_file.change(places, remarks=("a",), failed=(failure,))
    found = document()
    assert (found["state"], found["remarks"]) == ("reverted", ["a"])
    assert found["since"].startswith("20")
    (failed,) = found["attempts"]
    assert (failed["step"], failed["at"]) == ("register", "1970-01-01T00:00:00Z")
    assert failed["again"] == "1970-01-01T00:10:00Z"
