"""What is refused before anything is touched, and what --set-no-new-privs changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.runtime.live.conftest import OVERLAY, answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.containers.bundles import Bundle
    from tests.runtime.live.conftest import TightenedNode


def test_no_new_privs_is_set_only_if_that_is_asked_for(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    bundle = started(noNewPrivileges=False)
    node.configure(OVERLAY)
    (found,) = node.tighten("--overlay", bundle.name, status=1)
    assert found["result"] == "refused"
    assert "--set-no-new-privs" in found["reasons"][0]
    assert node.execs(bundle)
    assert answers(bundle, "yes")
    (found,) = node.tighten("--overlay", "--set-no-new-privs", bundle.name)
    assert found["result"] == "tightened"
    assert answers(bundle, "no")
    done = bundle.call(node.wrapper, "exec", after=("/bin/cat", "/proc/1/status"))
    assert "NoNewPrivs:\t1" in done.stdout
    done = bundle.call(node.wrapper, "exec", after=("/bin/cat", "/proc/self/status"))
    assert "NoNewPrivs:\t0" in done.stdout  # as the runtime's own process says
    assert not node.execs(bundle)
    assert node.disagreeing() == ([], [])


def test_a_profile_that_only_logs_is_refused(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    bundle = started()
    node.configure('[default]\nmode = "audit"\n')
    (found,) = node.tighten("--profile", bundle.name, status=1)
    assert found["result"] == "refused"
    assert "audit" in found["reasons"][0]


def test_the_decided_profile_is_laid_on_what_runs_unconfined_and_on_canaries_first(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    node.configure('[default]\nmode = "off"\n')
    bundle = started()
    node.configure(OVERLAY)
    (found,) = node.tighten("--profile", "--canary", "1", bundle.name)
    assert found["result"] == "tightened"
    assert found["filter"].startswith("containerd@")
    assert answers(bundle, "no")
    assert not node.execs(bundle)
    assert node.disagreeing() == ([], [])


def test_another_profile_is_added_to_an_older_one(
    node: TightenedNode, started: Callable[..., Bundle]
) -> None:
    bundle = started()
    profile = node.installed.prefix / "etc" / "profiles" / "strict.json"
    profile.parent.mkdir(parents=True, exist_ok=True)
    profile.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":'
        ' [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}'
    )
    (found,) = node.tighten("--named", str(profile), bundle.name)
    assert (found["result"], found["reasons"]) == ("tightened", [])
    assert answers(bundle, "no")
    assert not node.execs(bundle)
    assert node.disagreeing() == ([], [])
