"""runc-wrapctl cluster: what its loop does between one look and the next."""

from __future__ import annotations

import os
import signal
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from runc_wrap.cli import cluster
from runc_wrap.cluster import readiness
from runc_wrap.cluster.host_commands.systemd_manager import SystemdError
from runc_wrap.cluster.kubernetes_api.api_server import ApiServer
from runc_wrap.cluster.next_step import NOTHING, READY, REFUSED, NextStep
from runc_wrap.cluster.node_reporter import Pod, Reporter
from runc_wrap.host import locks
from runc_wrap.node.paths import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(readiness, "MARK", tmp_path / "ready")
    monkeypatch.setattr(readiness, "SENTENCE", tmp_path / "sentence")
    monkeypatch.setattr(cluster, "_SOON", 0.0)
    monkeypatch.setattr(cluster, "_CONFIG", tmp_path / "config")
    monkeypatch.setattr(cluster, "_PROFILES", tmp_path / "profiles")
    yield tmp_path / "ready"
    for number, handler in former.items():
        signal.signal(number, handler)


def _reporter(place: Path, *, is_heard: bool = True) -> Reporter:
    pod = Pod("n1", "p1", place, place, place)
    api = ApiServer(lambda: HTTPConnection("127.0.0.1", 1), place)
    return Reporter(Places(place), pod, api, print, is_heard)


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


def test_trouble_is_told_and_it_goes_on(mark: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[bool] = []

    def work() -> NextStep:
        seen.append(mark.exists())
        if len(seen) == 1:
            raise SystemdError("systemd is \x1b[31maway")
        os.kill(os.getpid(), signal.SIGTERM)  # the pod's end
        return NextStep(NOTHING, READY)

    with pytest.raises(SystemExit) as ended:
        cluster._keep(work, _reporter(mark), once=False, well={READY})  # noqa: SLF001
    assert ended.value.code == 0
    assert seen == [False, False]
    told = capsys.readouterr().err
    assert "systemd is" in told
    assert mark.with_name("sentence").exists()
    assert "\x1b" not in told


RESTS = [(READY, True, cluster._PERIOD), (READY, False, 0.0), (REFUSED, True, 0.0)]  # noqa: SLF001


@pytest.mark.parametrize(("word", "is_heard", "seconds"), RESTS)
def test_it_rests_only_where_all_is_well_and_the_api_server_knows(
    mark: Path, monkeypatch: pytest.MonkeyPatch, word: str, *, is_heard: bool, seconds: float
) -> None:
    rests: list[float] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        raise SystemExit

    monkeypatch.setattr(cluster, "_rest", rest)
    reporter = _reporter(mark, is_heard=is_heard)
    with pytest.raises(SystemExit):
        cluster._keep(lambda: NextStep(NOTHING, word), reporter, once=False, well={READY})  # noqa: SLF001
    assert rests == [seconds]


def test_a_policy_that_changes_ends_the_rest(mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = mark.with_name("config")
    config.mkdir()
    (config / "config.toml").write_text("")

    def glance(_: float) -> None:
        (config / "config.toml").write_text("# another")

    monkeypatch.setattr("runc_wrap.host.polling.time.sleep", glance)
    cluster._rest(3600.0)  # noqa: SLF001
    assert (config / "config.toml").read_text() == "# another"


@pytest.mark.parametrize("is_new", [True, False])
def test_only_one_pod_of_a_node_works_and_the_other_says_what_to_do(
    mark: Path, monkeypatch: pytest.MonkeyPatch, *, is_new: bool
) -> None:
    """As with the DaemonSet of a pool, and another that is left over from before."""
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    places, done = Places(mark.parent / "prefix"), list[int]()
    if not is_new:
        places.var.mkdir(parents=True)

    def work_of(pod: int) -> Callable[[], NextStep]:
        def work() -> NextStep:
            done.append(pod)
            return NextStep(NOTHING, READY)

        return cluster._alone(work, places, installs=True)  # noqa: SLF001

    works = [work_of(pod) for pod in range(2)]
    for _ in range(2):
        works[0]()
        with pytest.raises(ValueError, match="delete the DaemonSet"):
            works[1]()
    assert done == [0, 0]
    (places.var / locks.DIRECTORY / "installer").unlink()  # as a removal does
    works[0]()
    with pytest.raises(ValueError, match="delete the DaemonSet"):
        works[1]()


def test_a_removal_leaves_no_lock_where_nothing_is_installed_and_waits_where_something_is(
    mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    places = Places(mark.parent / "prefix")
    install, remove = (
        cluster._alone(lambda: NextStep(NOTHING, READY), places, installs=installs)  # noqa: SLF001
        for installs in (True, False)
    )
    assert remove().word == READY
    assert not places.var.exists()
    install()
    with pytest.raises(ValueError, match="delete the DaemonSet"):
        remove()
