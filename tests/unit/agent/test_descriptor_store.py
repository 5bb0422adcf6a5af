"""What observe asks its supervisor to keep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runc_wrap.agent.descriptor_store import DescriptorStore
from runc_wrap.agent.systemd_protocol import NamedDescriptor, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.unit.agent.conftest import Systemd


@pytest.fixture
def stores(systemd: Systemd) -> Iterator[Callable[..., DescriptorStore]]:
    """Make stores at this address; their connections are closed afterwards."""
    made = []

    def make(most: bytes = b"9", held: Sequence[str] = ()) -> DescriptorStore:
        environment = {b"FDSTORE": most, b"NOTIFY_SOCKET": os.fsencode(systemd.path)}
        made.append(Supervisor(environment))
        return DescriptorStore(made[-1], environment, [NamedDescriptor(name, 0) for name in held])

    yield make
    for one in made:
        one.close()


def _names(systemd: Systemd) -> list[bytes]:
    return [message.split(b"=")[-1] for message in systemd.messages()]


def test_descriptors_are_stored_and_removed_by_name(
    systemd: Systemd, stores: Callable[..., DescriptorStore]
) -> None:
    """A connection whose runtime has hung up still holds its message: systemd must not drop it."""
    store = stores()
    store.put("seccomp-1", 0)
    store.put("arriving-2", 0, until_closed=True)
    store.remove("arriving-2")
    assert systemd.messages() == [
        b"FDSTORE=1\nFDNAME=seccomp-1",
        b"FDSTORE=1\nFDNAME=arriving-2\nFDPOLL=0",
        b"FDSTOREREMOVE=1\nFDNAME=arriving-2",
    ]


def test_a_descriptor_that_finds_no_room_is_reported_and_not_sent(
    systemd: Systemd,
    capfd: pytest.CaptureFixture[str],
    stores: Callable[..., DescriptorStore],
) -> None:
    """Those count that were handed over, too."""
    store = stores(b"2", ["inflight", "notify"])
    store.put("seccomp-1", 0)
    assert capfd.readouterr().err == ""
    store.put("seccomp-2", 0)
    assert "holds 2 already: calls through seccomp-2 fail" in capfd.readouterr().err
    store.remove("seccomp-1")
    store.put("seccomp-3", 0)
    assert _names(systemd) == [b"seccomp-1", b"seccomp-1", b"seccomp-3"]


def test_a_removal_that_a_busy_supervisor_did_not_take_is_repeated(
    systemd: Systemd, stores: Callable[..., DescriptorStore]
) -> None:
    store = stores()
    aside = systemd.path.rename(systemd.path.with_name("aside"))
    store.remove("seccomp-1")
    aside.rename(systemd.path)
    store.remove("seccomp-2")
    assert _names(systemd) == [b"seccomp-1", b"seccomp-2"]


def test_what_found_no_answer_is_reported_and_stored_once_there_is_one(
    systemd: Systemd, stores: Callable[..., DescriptorStore], capfd: pytest.CaptureFixture[str]
) -> None:
    """Of those that have not ended meanwhile: else a restart fails calls of a container."""
    store = stores()
    aside = systemd.path.rename(systemd.path.with_name("aside"))
    for name in ("seccomp-1", "seccomp-2", "seccomp-3"):
        store.put(name, 0)
        assert f"does not answer: calls through {name} fail" in capfd.readouterr().err
    store.put("arriving-4", 0, until_closed=True)  # its number may be another's soon
    store.put_late_ones()
    aside.rename(systemd.path)
    store.remove("seccomp-2")
    store.put_late_ones()
    store.put_late_ones()
    assert systemd.messages()[1:] == [
        b"FDSTORE=1\nFDNAME=seccomp-1",
        b"FDSTORE=1\nFDNAME=seccomp-3",
    ]


@pytest.mark.parametrize("most", [b"0", b"", b"x"])
def test_without_a_store_nothing_is_sent(
    systemd: Systemd, most: bytes, stores: Callable[..., DescriptorStore]
) -> None:
    store = stores(most)
    store.put("seccomp-1", 0)
    store.remove("seccomp-1")
    assert systemd.messages() == []


def test_of_more_than_there_is_room_for_the_first_were_stored_and_the_last_are_late(
    systemd: Systemd, stores: Callable[..., DescriptorStore]
) -> None:
    """A release hands all to the next one, also what was not stored."""
    store = stores(b"2", ["inflight", "seccomp-2", "seccomp-1", "arriving-3"])
    names = ("seccomp-1", "seccomp-2", "arriving-3")
    assert [store.is_late(name) for name in names] == [True, False, False]
    store.remove("seccomp-2")
    store.put_late_ones()
    assert systemd.messages()[-1] == b"FDSTORE=1\nFDNAME=seccomp-1"
    assert not stores(b"", ["seccomp-1"]).is_late("seccomp-1")
