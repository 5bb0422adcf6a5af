"""The containers that need a handler: what an engine's files and users say, and does not say."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from runc_wrap.engines import dependent_container, handler_users
from runc_wrap.engines.containerd import containerd_engine
from runc_wrap.engines.cri import grpc_call
from runc_wrap.engines.cri.protobuf_wire import message
from runc_wrap.engines.dependent_container import Dependent
from runc_wrap.engines.handler import CallFailed
from runc_wrap.engines.podman import podman_engine
from runc_wrap.engines.registration.registration_state import Where
from runc_wrap.host import procfs
from runc_wrap.host.container_discovery import RUNNING, RuntimeContainer
from runc_wrap.ledger import decision_record as ledger_record
from runc_wrap.node.container_state import users_containers
from runc_wrap.node.container_state.users_containers import User
from runc_wrap.node.paths import Places
from tests.unit.node import machine

STRICT = Path("/p/bin/strict")
USER = 12345


def _needing(engine: str, config: Path, name: str = STRICT.name) -> list[Dependent]:
    return handler_users.needing(Where(engine, config, STRICT.parent, Path()), name)


@pytest.mark.parametrize(("engine", "name"), [("docker", "one"), ("podman", "/one")])
def test_a_container_that_is_damaged_or_gone_hides_no_other(
    programs: Path, monkeypatch: pytest.MonkeyPatch, engine: str, name: str
) -> None:
    """`inspect` shows those that it finds, and fails."""
    monkeypatch.setattr(podman_engine, "storage", lambda: programs)
    (programs / "libpod").touch()
    row = r"strict\trunning\t/one" + (r"\tid" if engine == "podman" else "")
    text = f"case $1 in ps) echo one gone ;; inspect) printf '{row}\\n'; exit 1 ;; esac"
    machine.fake(programs, engine, text)
    machine.fake(programs, "dockerd", "exit 1")
    found = _needing(engine, programs / "config")
    assert [each.name for each in found] == [name]
    with pytest.raises(dependent_container.Unknown):
        _needing(engine, programs / "config", "other")


# CRI ----------------------------------------------------------------------------------------------


def _containerd(programs: Path, monkeypatch: pytest.MonkeyPatch, answer: object) -> list[str]:
    def call(*_: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(grpc_call, "call", call)
    found = _needing("containerd", programs / "config.toml")
    return [each.name for each in found]


def test_a_pod_needs_its_handlers_name(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pods = (("a", "strict"), ("b", ""), ("c", "strict"), ("d", "other"))
    listed = b"".join(message({1: message({1: name, 7: handler})}) for name, handler in pods)
    assert _containerd(programs, monkeypatch, listed) == ["k8s.io/a", "k8s.io/c"]


def test_a_containerd_without_cri_has_no_pods_and_one_that_does_not_answer_may_have_some(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = CallFailed("unknown service runtime.v1.RuntimeService", 12)
    assert _containerd(programs, monkeypatch, off) == []
    with pytest.raises(
        dependent_container.Unknown, match="containerd does not show its pods: no answer"
    ):
        _containerd(programs, monkeypatch, CallFailed("no answer"))


# Root's Podman ------------------------------------------------------------------------------------

ROWS = "\n".join(
    "\t".join((runtime, "exited", f"of-{runtime.strip('/').replace('/', '-')}", f"id{number}"))
    for number, runtime in enumerate(("strict", "/p/bin/strict", "/p/bin/other", "crun", "/x/link"))
)


@pytest.fixture(name="podman")
def roots_podman(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Podman with containers of several runtimes, whose calls are in a file; its storage."""
    script = f'echo "$1" >> {tmp_path}/calls; case $1 in ps) echo a;; *) printf "{ROWS}\\n";; esac'
    machine.fake(programs, "podman", script)
    storage = tmp_path / "storage"
    (storage / "libpod").mkdir(parents=True)
    monkeypatch.setattr(podman_engine, "storage", lambda: storage)
    monkeypatch.setattr(users_containers, "read", lambda _trusted: [])
    monkeypatch.setattr(containerd_engine, "_STATES", ())
    return storage


@pytest.mark.usefixtures("podman")
def test_a_container_started_by_a_link_to_the_path_is_found(tmp_path: Path, programs: Path) -> None:
    """As /usr/local/bin/runc-wrap is one; a link in PREFIX/bin is another handler's."""
    places = Places(tmp_path / "p")
    places.wrapper.parent.mkdir(parents=True)
    places.wrapper.touch()
    places.wrapper.with_name("strict").symlink_to("runc-wrap")
    link = tmp_path / "link"
    link.symlink_to(places.wrapper.with_name("strict"))
    script = f'[ $1 = ps ] && echo a || printf "{link}\\trunning\\tone\\tid\\n"'
    machine.fake(programs, "podman", script)
    assert [each.name for each in handler_users.calling(places, "strict")] == ["one"]
    assert handler_users.calling(places, "runc-wrap") == []


def test_podman_is_not_asked_where_root_never_used_it(podman: Path, tmp_path: Path) -> None:
    """It would make its storage."""
    (podman / "libpod").rmdir()
    assert handler_users.calling(Places(Path("/p")), "strict") == []
    assert not (tmp_path / "calls").exists()


STORAGES = [
    (None, None, "/var/lib/containers/storage"),
    (None, '[storage]\ngraphroot = "/vendor"', "/vendor"),
    ("[storage]", '[storage]\ngraphroot = "/vendor"', "/var/lib/containers/storage"),
    ('[storage]\ngraphroot = "/own"', '[storage]\ngraphroot = "/vendor"', "/own"),
]


@pytest.mark.parametrize(("own", "vendor", "found"), STORAGES)
def test_the_storage_is_where_the_first_of_its_files_says(
    own: str | None, vendor: str | None, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = (tmp_path / "own", tmp_path / "vendor")
    for path, content in zip(paths, (own, vendor), strict=True):
        if content is not None:
            path.write_text(content)
    monkeypatch.setattr(podman_engine, "_STORAGE_FILES", paths)
    assert str(podman_engine.storage()) == found


# Users' Podman ------------------------------------------------------------------------------------


def _says(pid: int | None, monkeypatch: pytest.MonkeyPatch, handler: str = "strict") -> list[str]:
    """Return what holds Podman's name for a user whose state names this process."""
    container = RuntimeContainer("/run/user/1/runc", "one", "runc", RUNNING, pid, None, USER)
    line = {"id": "one", "handler": handler, "action": "inject"}
    users = [User(USER, [(container, ledger_record.of(line))])]
    monkeypatch.setattr(users_containers, "read", lambda _trusted: users)
    monkeypatch.setattr(containerd_engine, "_STATES", ())
    named = [*podman_engine.Podman.of_users(STRICT.name)]
    assert _needing("podman", Path()) == []
    assert handler_users.calling(Places(STRICT.parents[1]), STRICT.name) == []
    return [each.name for each in named]


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    "pid", [None, 1, os.getpid(), 1 << 22], ids=["none", "init", "ours", "gone"]
)
def test_a_users_word_alone_does_not_hold_a_name_for_ever(
    pid: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pid of no process, of root's, of ours, and of none that there can be."""
    assert _says(pid, monkeypatch) == []


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("front", [[], ["/usr/bin/unshare", "--user"]])
def test_a_users_container_with_a_process_of_that_user_does(
    monkeypatch: pytest.MonkeyPatch, front: list[str]
) -> None:
    """In a namespace the uid is another one, of those that are delegated to the user."""
    if os.geteuid():
        pytest.skip("only root becomes another user")
    words, own = [*front, "/bin/cat"], procfs.namespace(os.getpid(), "user")
    with subprocess.Popen(words, stdin=subprocess.PIPE, user=USER, group=USER) as process:
        until = time.monotonic() + 60
        while front and procfs.namespace(process.pid, "user") == own:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert _says(process.pid, monkeypatch) == ["one"]
        assert _says(process.pid, monkeypatch, "other") == []
