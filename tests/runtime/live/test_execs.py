"""What a runtime executes in a container while that is tightened has the filter afterwards."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.containers.bundles import Bundle
from tests.runtime.live.conftest import OVERLAY, TightenedNode, answers


@contextmanager
def executing(node: TightenedNode, bundle: Bundle) -> Iterator[list[int]]:
    """Execute one process after the other that stays; yield the exit statuses so far."""
    statuses: list[int] = []
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            done = bundle.call(node.wrapper, "exec", "--detach", after=("/bin/sleep", "1000"))
            statuses.append(done.returncode)

    threads = [threading.Thread(target=loop) for _ in "12"]
    for one in threads:
        one.start()
    try:
        yield statuses
    finally:
        over.set()
        for one in threads:
            one.join(60)


def test_no_exec_slips_through(node: TightenedNode, started: Callable[..., Bundle]) -> None:
    bundle = started()
    node.configure(OVERLAY)
    with executing(node, bundle) as statuses:
        while len(statuses) < 4:
            answers(bundle, "yes")
        before = len(statuses)
        (found,) = node.tighten(
            "--overlay", "--set-no-new-privs", bundle.name
        )  # crun's execs lack it
        during = len(statuses)
        while len(statuses) < during + 4:
            answers(bundle, "no")
    assert (found["result"], found["reasons"]) == ("tightened", [])
    assert during > before
    assert {*statuses} == {0}
    assert node.disagreeing() == ([], [])


def test_runc_update_writes_back_what_it_read_and_that_is_noticed(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    """Both are run at once, again and again; afterwards `exec` gives the filter in any case."""
    bundle = started()
    node.configure(OVERLAY)
    over = threading.Event()

    def update() -> None:
        while not over.is_set():
            bundle.call(node.bare, "update", "--pids-limit", "500")

    thread = threading.Thread(target=update)
    thread.start()
    try:
        (found,) = node.tighten("--overlay", bundle.name)
    finally:
        over.set()
        thread.join(60)
    assert found["result"] == "tightened"
    assert not node.execs(bundle)
