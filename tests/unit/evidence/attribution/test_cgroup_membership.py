"""A process' container by cgroup and namespace, against everything that a user can imitate."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from runc_wrap.evidence.attribution import cgroup_membership
from runc_wrap.evidence.attribution.cgroup_membership import Membership
from runc_wrap.evidence.attribution.ledger_containers import Known
from runc_wrap.host import cgroups, procfs, runtime_state
from runc_wrap.host.cgroups import Hierarchies, Mount
from runc_wrap.hotpath.ledger_file import Key
from tests.unit.evidence.samples import line, write_ledger

ID, INNER = "a" * 64, "b" * 64
KEY, NESTED = ("/run/test", ID), ("/run/test", INNER)
FIRST, PID = 2**22 + 1, 2**22 + 2
OURS, PODS, WITHIN, OTHERS = 0xEFFFFFFC, 100, 101, 102


class Machine:
    """A machine's simulated processes and cgroups, in /proc and the hierarchies."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tmp_path = tmp_path
        self.paths: dict[int, str] = {}
        self.born: dict[int, tuple[int, int]] = {}
        self.spaces: dict[int, list[int]] = defaultdict(list)
        self.firsts: dict[Key, tuple[int, int]] = {}
        monkeypatch.setattr(procfs, "read", self._read)
        monkeypatch.setattr(procfs, "born", self.born.get)
        monkeypatch.setattr(runtime_state, "first_process", self.firsts.get)
        monkeypatch.setattr(procfs, "namespace_inode", lambda pid, _: (self.spaces[pid] or [0])[0])
        monkeypatch.setattr(cgroup_membership, "_namespaces", self.spaces.__getitem__)
        mounts = [Mount(frozenset({name}), "", str(tmp_path / name)) for name in ("v2", "pids")]
        mounts[0] = mounts[0]._replace(names=frozenset({""}))
        monkeypatch.setattr(Hierarchies, "_mount", lambda _, name: mounts[name == "pids"])
        self.membership = Membership(Known(write_ledger(tmp_path / "l", line(ID), line(INNER))))
        self.of = self.membership.of

    def _read(self, path: str) -> bytes | None:
        text = self.paths.get(int(path.removeprefix("/proc/").removesuffix("/cgroup")))
        return None if text is None else text.encode()

    def cgroup(self, path: str, owner: int = 0, hierarchy: str = "v2") -> None:
        place = self.tmp_path / hierarchy / path.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        os.chown(place, owner, owner)

    def process(self, pid: int, text: str, *spaces: int) -> None:
        self.paths[pid] = text
        self.born[pid] = (77, 1)
        self.spaces[pid] = [*spaces]

    def container(self, path: str, *spaces: int, key: Key = KEY, pid: int = FIRST) -> None:
        self.cgroup(path)
        self.process(pid, f"0::{path}\n", *spaces)
        self.firsts[key] = (pid, 77)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_container_whose_first_process_moved_down_keeps_its_cgroup(machine: Machine) -> None:
    """As systemd in a container does."""
    machine.container(f"/docker/{ID}/init.scope", PODS)
    machine.process(PID, f"0::/docker/{ID}\n", PODS)
    assert machine.of(PID) == KEY


def test_the_same_cgroup_name_elsewhere_proves_nothing(machine: Machine) -> None:
    machine.container(f"/system.slice/docker-{ID}.scope", PODS)
    users = "/user.slice/user-4242.slice/user@4242.service"
    for path in (
        f"{users}/{ID}",
        f"{users}/docker-{ID}.scope",
        f"{users}/system.slice/docker-{ID}.scope",
        f"/docker-{ID}.scope",
        f"/system.slice/docker-{ID}.scope2",
        f"/system.slice/x/docker-{ID}.scope",
        f"/../system.slice/docker-{ID}.scope",
        f"/system.slice/x/../docker-{ID}.scope",
        f"//system.slice/docker-{ID}.scope",
    ):
        machine.cgroup(path.replace("..", "up"))
        machine.process(PID, f"0::{path}\n", PODS)
        assert machine.of(PID) is None, path
    machine.process(PID, f"0::/system.slice/docker-{ID}.scope\n", PODS)
    assert machine.of(PID) == KEY


@pytest.mark.parametrize("owned", ["/s", f"/s/{ID}", f"/s/{ID}/x", f"/s/{ID}/x/y"])
def test_a_cgroup_in_another_users_directory_proves_nothing(machine: Machine, owned: str) -> None:
    machine.container(f"/s/{ID}", PODS)
    machine.cgroup(f"/s/{ID}/x/y")
    machine.process(PID, f"0::/s/{ID}/x/y\n", PODS)
    assert machine.of(PID) == KEY
    machine.cgroup(owned, owner=4242)
    assert machine.of(PID) is None


NAMESPACES = [
    (f"/docker/{ID}", (PODS, OURS), (PODS, OURS), KEY),
    (f"/docker/{ID}", (PODS, OURS), (WITHIN, PODS, OURS), KEY),
    (f"/docker/{ID}", (PODS, OURS), (OTHERS, OURS), None),
    (f"/docker/{ID}", (PODS, OURS), (OURS,), None),
    (f"/docker/{ID}", (OURS,), (OTHERS, OURS), KEY),  # in the host's, the cgroup decides
    ("/user.slice/session-1.scope", (OURS,), (OURS,), None),  # a cgroup that others share
]


@pytest.mark.parametrize(("path", "first", "spaces", "key"), NAMESPACES)
def test_the_pid_namespace_must_be_the_first_process_or_beneath(
    machine: Machine, path: str, first: Sequence[int], spaces: Sequence[int], key: Key | None
) -> None:
    """The runtime itself enters the cgroup first."""
    machine.container(path, *first)
    machine.process(PID, f"0::{path}\n", *spaces)
    assert machine.of(PID) == key


def test_a_process_must_match_in_each_hierarchy_that_has_the_id(machine: Machine) -> None:
    machine.cgroup(f"/c/{ID}", hierarchy="pids")
    machine.container(f"/c/{ID}", PODS)
    machine.process(FIRST, f"5:pids:/c/{ID}\n3:memory:/\n0::/c/{ID}\n", PODS)
    for text, key in (
        (f"5:pids:/c/{ID}\n3:memory:/\n0::/c/{ID}\n", KEY),
        (f"5:pids:/c/{ID}\n3:memory:/user\n0::/c/{ID}\n", KEY),
        (f"5:pids:/c/{ID}\n0::/\n", None),
        (f"5:pids:/\n0::/c/{ID}\n", None),
        (f"0::/c/{ID}\n", None),
    ):
        machine.process(PID, text, PODS)
        assert machine.of(PID) == key, text
    machine.cgroup("/c", owner=4242, hierarchy="pids")
    machine.process(PID, f"5:pids:/c/{ID}\n0::/c/{ID}\n", PODS)
    assert machine.of(PID) is None


def test_of_nested_containers_the_inner_one_counts(machine: Machine) -> None:
    machine.container(f"/docker/{ID}", PODS, OURS)
    machine.container(f"/docker/{ID}/docker/{INNER}", WITHIN, PODS, key=NESTED, pid=FIRST + 10)
    machine.process(PID, f"0::/docker/{ID}/docker/{INNER}\n", WITHIN, PODS, OURS)
    assert machine.of(PID) == NESTED
    machine.process(PID, f"0::/docker/{ID}/docker/{INNER}\n", PODS, OURS)
    assert machine.of(PID) == KEY
    machine.process(PID, f"0::/docker/{ID}/x\n", PODS, OURS)
    machine.cgroup(f"/docker/{ID}/x")
    assert machine.of(PID) == KEY


def test_a_containers_cgroup_is_remembered_until_it_is_deleted(machine: Machine) -> None:
    """Its first process has ended; in the host's pid namespace others may continue."""
    machine.container(f"/docker/{ID}", OURS)
    machine.process(PID, f"0::/docker/{ID}\n", OURS)
    assert machine.of(PID) == KEY
    del machine.paths[FIRST], machine.born[FIRST]
    assert machine.of(PID) == KEY
    machine.firsts[KEY] = (FIRST, 99)  # made again, and gone already
    assert machine.of(PID) is None
    machine.firsts[KEY] = (FIRST, 77)
    assert machine.of(PID) is None


def test_containers_of_one_id_differ_by_their_cgroups(machine: Machine, tmp_path: Path) -> None:
    other = ("/run/other", ID)
    one = Membership(Known(write_ledger(tmp_path / "two", line(ID), line(ID, root=other[0]))))
    machine.container(f"/docker/{ID}", PODS)
    machine.container(f"/podman/{ID}", OTHERS, key=other, pid=FIRST + 10)
    machine.process(PID, f"0::/podman/{ID}\n", OTHERS)
    assert one.of(PID) == other
    machine.process(FIRST + 10, f"0::/docker/{ID}\n", PODS)
    again = Membership(Known(tmp_path / "two"))
    machine.process(PID, f"0::/docker/{ID}\n", PODS)
    assert again.of(PID) is None  # nothing tells them apart


def test_remembered_cgroups_are_bounded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup_membership, "MOST", 1)
    machine.container(f"/docker/{ID}", PODS)
    machine.container(f"/docker/{INNER}", OTHERS, key=NESTED, pid=FIRST + 10)
    for path, space in ((ID, PODS), (INNER, OTHERS)):
        machine.process(PID, f"0::/docker/{path}\n", space)
        assert machine.of(PID)
    del machine.paths[FIRST]
    machine.process(PID, f"0::/docker/{ID}\n", PODS)
    assert machine.of(PID) is None


V1 = "36 31 0:33 {root} {place} rw,relatime shared:9 - cgroup cgroup rw,xattr,cpu,cpuacct\n"
V2 = "41 31 0:38 {root} {place} rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"


HIERARCHIES = [
    (V1, "cpu,cpuacct", "/", "/a/b", True),
    (V1, "cpu", "/", "/a/b", True),
    (V1, "memory", "/", "/a/b", False),
    (V1, "", "/", "/a/b", False),
    (V2, "", "/", "/a/b", True),
    (V2, "", "/", "/a/c", False),  # it is not there
    (V2, "", "/", "/a/b/users", False),
    (V2, "", "/", "/a/link/b", False),
    (V2, "", "/", "/a/../a/b", False),
    (V2, "", "/..", "/../a/b", True),  # seen from a cgroup namespace
    (V2, "", "/../..", "/../../a/b", True),
    (V2, "", "/../..", "/../a/b", False),
    (V2, "", "/system.slice", "/system.slice/a/b", False),  # who has what is above is not seen
]


def test_cgroups_are_read_at_their_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "with space"
    for one in ("a/b", "a/b/users", "elsewhere/b"):
        (place / one).mkdir(parents=True)
    (place / "a" / "link").symlink_to(place / "elsewhere")
    os.chown(place / "a" / "b" / "users", 4242, 4242)
    table, escaped = tmp_path / "mountinfo", str(place).replace(" ", "\\040")
    monkeypatch.setattr(cgroups, "_WHERE", ((str(tmp_path / "none"), ""), (str(table), "")))
    for form, controllers, root, path, are_roots in HIERARCHIES:
        table.write_text("garbage\n" + form.format(root=root, place=escaped))
        assert Hierarchies().are_roots(controllers, path) == are_roots, (controllers, root, path)


def test_a_later_hierarchy_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    monkeypatch.setattr(cgroups, "_WHERE", ((str(table), ""),))
    found = Hierarchies()
    assert not found.are_roots("", "/")
    table.write_text(V2.format(root="/", place=tmp_path))
    assert not found.are_roots("", "/")
    monkeypatch.setattr(cgroups, "_AGAIN", 0.0)
    assert found.are_roots("", "/")


def test_a_users_cgroup_that_names_many_containers_costs_one_read_of_its_directories(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.container(f"/docker/{ID}", PODS)
    machine.cgroup("/user", 4242)
    machine.cgroup(f"/user/{ID}/{INNER}", 4242)
    machine.process(PID, f"0::/user/{ID}/{INNER}\n", PODS)
    asked: list[Key] = []
    monkeypatch.setattr(runtime_state, "first_process", asked.append)
    assert machine.of(PID) is None
    assert asked == []


def test_what_left_a_containers_cgroup_is_not_elsewhere(machine: Machine) -> None:
    machine.container(f"/docker/{ID}", PODS, OURS)
    for spaces, elsewhere in (
        ((OTHERS, OURS), True),
        ((OURS,), False),  # of the host
        ((PODS, OURS), None),  # in its pid namespace, but not in its cgroup
        ((WITHIN, PODS, OURS), None),
        ((0,), None),  # it ended
    ):
        machine.process(PID, "0::/elsewhere\n", *spaces)
        machine.membership.learn(KEY)
        assert machine.membership.is_elsewhere(PID, [KEY]) is elsewhere, spaces
