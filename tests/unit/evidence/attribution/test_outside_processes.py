"""Processes that are known to be in no container, and those that are not."""

import pytest

from runc_wrap.evidence.attribution.outside_processes import FASTEST, MOST_ENDED, Hosts
from runc_wrap.evidence.sightings import COARSE

SHELL, CHILD, GRANDCHILD = 10, 11, 12
LONG = 10 * FASTEST


def _with(exe: str = "/bin/sh") -> Hosts:
    made = Hosts()
    made.looked(SHELL, 1.0, exe)
    return made


def test_a_process_read_outside_and_its_forks_are_outside_to_their_end_or_a_gap() -> None:
    one = _with()
    one.forked(SHELL, CHILD, 2.0)
    one.forked(CHILD, GRANDCHILD, 3.0)
    everyone = SHELL, CHILD, GRANDCHILD, 13
    assert [one.had(pid, 3.5) for pid in everyone] == [True, True, True, False]
    one.forget_all()
    assert [one.had(pid, 3.5) for pid in everyone] == [False] * 4
    one = _with()
    one.exited(SHELL, 2.0)
    found = [one.had(SHELL, when) for when in (0.5, 1.0, 2.0, 2.5)]
    assert found == [False, True, True, False]


def test_an_unread_process_is_outside_only_if_no_runtime_can_have_moved_it() -> None:
    for exe, steps, had in (
        ("/bin/sh", [], True),
        ("/bin/sh", [2.0], True),  # it began something that was gone before a look
        ("/bin/sh", [2.0, 2.0 + FASTEST / 2], True),  # which began another, at once
        ("/bin/sh", [2.0, 2.0 + LONG], False),  # in that time it may have been a runtime
        ("/usr/sbin/runc", [2.0], False),
        ("/usr/bin/crun", [2.0], False),
        ("/usr/sbin/runc-1.5.1", [2.0], False),
        ("/memfd:runc_cloned:/proc/self/exe (deleted)", [2.0], False),
        ("/", [2.0], False),
        ("/opt/tool (deleted)", [2.0], False),
    ):
        one = _with()
        one.forked(SHELL, CHILD, 1.5)
        one.looked(CHILD, 1.6, exe)
        for when in steps:
            one.executed(CHILD, when)
        assert one.had(CHILD, 3.0) is had, (exe, steps)


def test_a_record_that_may_be_of_the_next_program_is_not_known_to_be_of_the_host() -> None:
    """Its time may be up to COARSE early."""
    one = Hosts()
    one.looked(CHILD, 1.0, "/usr/sbin/runc")
    one.executed(CHILD, 2.0)
    assert [one.had(CHILD, when) for when in (1.5, 2.0 - COARSE / 2, 2.0)] == [True, False, False]


def test_a_process_moved_into_a_container_is_no_longer_outside() -> None:
    one = _with()
    one.forked(SHELL, CHILD, 2.0)
    one.looked(CHILD, 2.0, "/usr/sbin/runc")
    one.end(CHILD, 3.0)
    one.forked(CHILD, GRANDCHILD, 4.0)
    assert [one.had(CHILD, 3.5), one.had(GRANDCHILD, 4.5)] == [False, False]


@pytest.mark.parametrize("leading", ["runtime", "ancestor", "ancestor in a namespace", "first"])
def test_the_child_of_what_leads_into_containers_is_unknown_until_looked_at(leading: str) -> None:
    """A container's process may have made it, by CLONE_PARENT."""
    one = _with("/usr/sbin/runc" if leading == "runtime" else "/usr/bin/shim")
    if leading == "ancestor in a namespace":
        one.looked(SHELL, 1.0, "/usr/bin/shim", is_foreign=True)
    one.lead([SHELL] if leading.startswith("ancestor") else [])
    parent = 1 if leading == "first" else SHELL
    assert one.forked(parent, CHILD, 2.0)
    assert not one.had(CHILD, 2.5)
    one.looked(CHILD, 2.0, "/bin/true")
    assert one.had(CHILD, 2.5)
    assert not one.forked(CHILD, GRANDCHILD, 3.0)
    assert one.had(GRANDCHILD, 3.5)


def test_what_is_in_a_pid_namespace_that_is_not_ours_stays_there() -> None:
    one = Hosts()
    one.looked(SHELL, 1.0, "/usr/sbin/runc", is_foreign=True)
    assert not one.forked(SHELL, CHILD, 2.0)
    for when in (3.0, 4.0, 5.0):
        one.executed(CHILD, when)
    assert one.had(CHILD, 6.0)


def test_a_bounded_number_of_ended_processes_is_remembered() -> None:
    one = _with()
    for pid in range(100, 100 + 2 * MOST_ENDED):
        one.forked(SHELL, pid, pid)
        one.exited(pid, pid + 0.5)
    assert len(one._alive) + len(one._ended) <= MOST_ENDED + 1  # noqa: SLF001 - the bound itself
    assert not one.had(100, 100.2)
    assert one.had(99 + 2 * MOST_ENDED, 99.2 + 2 * MOST_ENDED)
