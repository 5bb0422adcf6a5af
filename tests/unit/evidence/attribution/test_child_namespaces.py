"""The namespaces that a clone3 created, from the processes that it started."""

import posix
import time
from typing import Any

import pytest

from runc_wrap.evidence.attribution import child_namespaces
from runc_wrap.evidence.attribution.child_namespaces import Clones, Namespaces
from runc_wrap.evidence.sightings import Sighting
from tests.unit.evidence.samples import sighting

KEY = ("/run/test", "c1")
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE, UNSHARE, SETNS, CLONE3 = 56, 272, 308, 435
LINKS = ["user", "mnt", "net", "ipc", "uts", "cgroup", "pid", "time"]
CHILDREN = ["pid_for_children", "time_for_children"]
Links = dict[int, dict[str, str]]


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> Links:
    """The namespaces of processes: {pid: {name: link}}; of others there are none."""
    there: Links = {}

    def readlink(path: str) -> str:
        _, _, pid, _, name = path.split("/")
        try:
            return there[int(pid)][name]
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.setattr(posix, "readlink", readlink)
    return there


def _of(**other: str) -> dict[str, str]:
    return {name: f"{name.split('_')[0]}:[1]" for name in (*LINKS, *CHILDREN)} | other


def test_flags_are_the_namespaces_that_a_child_and_its_parent_do_not_share(links: Links) -> None:
    for parent, child, made in (
        (_of(), _of(), 0),
        (_of(), _of(user="user:[2]", net="net:[2]"), NEWUSER | NEWNET),
        (_of(), _of(pid="pid:[2]"), NEWPID),
        (_of(pid_for_children="pid:[2]"), _of(pid="pid:[2]"), 0),  # unshare had made it
        (_of(), {}, None),
        ({}, _of(), None),
    ):
        links.update({7: parent, 8: child})
        assert child_namespaces.made_by(7, 8) == made


def _counting(one: Namespaces | None = None, *told: Any) -> tuple[Namespaces, list[Any], Clones]:
    """Return these namespaces, the arguments that are counted by them, and what counts."""
    counted: list[Any] = []
    one = one or Namespaces()
    return one, counted, Clones(one, lambda _key, call, **_: counted.append(call.args), *told)


def _counted(one: Namespaces, *calls: Sighting) -> list[Any]:
    one, counted, clones = _counting(one)
    for call in calls:
        one.note(call)
        clones.add(KEY, call)
    clones.settle()
    return counted


def test_a_clone3_is_counted_with_the_namespaces_that_its_children_are_in(links: Links) -> None:
    one = Namespaces()
    links.update({7: _of(), 8: _of(user="user:[2]"), 9: _of()})
    one.forked(7, 8, 100.0)
    one.forked(9, 9, 100.0)
    first, other = (sighting(number=CLONE3, pid=pid, time=100.0) for pid in (7, 9))
    later = sighting(number=CLONE3, pid=7, time=105.0)  # of whose child nobody has note
    nothing = (None,) * 5  # what else it was to do
    assert _counted(one, other, first, later) == [(0, *nothing), None, (NEWUSER, *nothing)]
    assert _counted(Namespaces(), first, first) == [None, None]
    for moves in (UNSHARE, SETNS):
        moved = sighting(number=moves, pid=8, time=100.0)
        assert _counted(one, first, moved) == [None, None]
        one = Namespaces()
        one.forked(7, 8, 100.0)


def test_a_child_of_clone_is_not_taken_for_one_of_a_clone3_that_made_a_thread(links: Links) -> None:
    """As in rootlesskit: threads by clone3, and at the same time a child by clone."""
    links.update({7: _of(), 8: _of(user="user:[2]")})
    one = Namespaces()
    one.forked(7, 8, 100.0)
    thread = sighting(number=CLONE3, pid=7, time=100.0)
    assert _counted(one, thread, sighting(number=CLONE, pid=7, time=100.0)) == [None, None]


@pytest.mark.parametrize("decoy", [99.997, 100.05])
@pytest.mark.parametrize("other", [_of(), {}], ids=["shares all", "is gone"])
def test_a_child_of_another_call_does_not_answer_for_a_clone3(
    links: Links, decoy: float, other: dict[str, str]
) -> None:
    """A fork just before a clone3 with CLONE_NEWUSER made it one that had no flags."""
    one, counted, clones = _counting()
    links.update({7: _of(), 8: other, 9: _of(user="user:[2]")})
    (first, child), (second, sibling) = sorted([(decoy, 8), (100.001, 9)])
    one.forked(7, child, first)
    clones.add(KEY, sighting(number=CLONE3, pid=7, time=100.0))
    one.forked(7, sibling, second)
    clones.settle()
    assert counted == [None]


def test_a_clone3_whose_child_may_be_yet_to_come_is_unknown(links: Links) -> None:
    links.update({7: _of(), 8: _of()})
    for after, is_told in ((1.0, False), (0.05, True)):
        now = time.time()
        one, counted, clones = _counting(Namespaces(), lambda _, told=is_told: told)
        one.forked(7, 8, now - after)
        clones.add(KEY, sighting(number=CLONE3, pid=7, time=now - after))
        clones.settle()
        assert counted == [None]


def test_reads_per_second_and_remembered_forks_are_bounded(links: Links) -> None:
    one = Namespaces()
    links[7] = links[8] = _of()
    for place in range(3 * child_namespaces._MOST_FORKS):  # noqa: SLF001 - the bound is the test
        one.forked(place, 8, 90.0)
    assert len(one._forks) <= child_namespaces._MOST_FORKS  # noqa: SLF001 - as above
    one.forked(7, 8, 100.0)
    calls = [sighting(number=CLONE3, pid=7, time=100.0)] * 300
    assert sum(args is not None for args in _counted(one, *calls)) == 200


def test_children_are_read_no_longer_than_one_may_be_the_clone3s(links: Links) -> None:
    one, counted, clones = _counting()
    links.update({7: _of(), 8: _of()})
    clones.add(KEY, sighting(number=CLONE3, pid=7, time=100.0))
    one.forked(7, 8, 100.001)
    for place in range(1000):
        one.forked(7, 100 + place, 100.2 + place / 1000)
    assert (counted, clones._read) == ([(0, *[None] * 5)], {})  # noqa: SLF001 - the bound is the test
