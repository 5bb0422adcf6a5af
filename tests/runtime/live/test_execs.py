"""What a runtime executes in a container while that is tightened has the filter afterwards."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.containers.bundles import Bundle
from tests.runtime.live.conftest import OVERLAY, TightenedNode, answers


@contextmanager
def repeating(
    bundle: Bundle, runtime: Path | str, *words: str, after: tuple[str, ...] = (), threads: int = 1
) -> Iterator[list[int]]:
    """Run a command of the runtime again and again; yield the exit statuses so far."""
    statuses: list[int] = []
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            statuses.append(bundle.call(runtime, *words, after=after).returncode)

    started = [threading.Thread(target=loop) for _ in range(threads)]
    for one in started:
        one.start()
    try:
        yield statuses
    finally:
        over.set()
        for one in started:
            one.join(60)


def test_no_exec_slips_through(node: TightenedNode, started: Callable[..., Bundle]) -> None:
    bundle = started()
    node.configure(OVERLAY)
    words, after = ("exec", "--detach"), ("/bin/sleep", "1000")
    with repeating(bundle, node.wrapper, *words, after=after, threads=2) as statuses:
        while len(statuses) < 4:
            answers(bundle, "yes")
        before = len(statuses)
        # crun's execs lack it
        (found,) = node.tighten("--overlay", "--set-no-new-privs", bundle.name)
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
    with repeating(bundle, node.bare, "update", "--pids-limit", "500"):
        (found,) = node.tighten("--overlay", bundle.name)
    assert found["result"] == "tightened"
    assert not node.execs(bundle)
