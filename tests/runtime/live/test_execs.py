"""What a runtime executes in a container while that is tightened has the filter afterwards."""

from harness.host.processes import repeating
from tests.runtime.live.conftest import OVERLAY, LiveNode, answers


def test_no_exec_slips_through(node: LiveNode) -> None:
    bundle = node.started()
    node.configure(OVERLAY)
    statuses: list[int] = []

    def execute() -> None:
        done = bundle.call(node.wrapper, "exec", "--detach", after=("/bin/sleep", "1000"))
        statuses.append(done.returncode)

    with repeating(execute, threads=2):
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


def test_runc_update_writes_back_what_it_read_and_that_is_noticed(node: LiveNode) -> None:
    """Both are run at once, again and again; afterwards `exec` gives the filter in any case."""
    bundle = node.started()
    node.configure(OVERLAY)
    with repeating(lambda: bundle.call(node.bare, "update", "--pids-limit", "500")):
        (found,) = node.tighten("--overlay", bundle.name)
    assert found["result"] == "tightened"
    assert not node.execs(bundle)
