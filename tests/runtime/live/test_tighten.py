"""What `tighten` lays on a container, what it refuses before, and what hostile ones make of it."""

import json
import os
import pty
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.containers.block_rules import profile, rule
from harness.host.namespaces import private_mounts
from harness.host.processes import attempt, wait_until
from harness.kernel import kernel_log
from harness.kernel.process_status import status
from harness.node import install
from harness.node.requirements import program
from runc_wrap.filters.evaluate import bpf
from runc_wrap.host import procfs
from runc_wrap.tighten import laid_filter
from tests.runtime.live.conftest import OVERLAY, LiveNode, answers

KEYCTL = 250
OFF = '[default]\nmode = "off"\n'


def test_a_running_container_gets_the_overlay_and_so_do_later_execs_after_an_upgrade_too(
    node: LiveNode,
) -> None:
    bundle = node.started()
    node.configure(OVERLAY)
    assert answers(bundle, "yes")
    assert node.execs(bundle)
    (found,) = node.tighten("--overlay", bundle.name)
    assert (found["result"], found["reasons"]) == ("tightened", [])
    assert all(one["after"]["filters"] == 2 for one in found["processes"])
    assert answers(bundle, "no")
    assert not node.execs(bundle)
    assert node.disagreeing() == ([], [])
    install.lay_out_second(node.installed)
    install.switch_release(node.installed.prefix)
    assert node.disagreeing() == ([], [])
    (found,) = node.tighten("--overlay", bundle.name)
    assert (found["result"], found["processes"]) == ("has it", [])
    created, *_, last = node.installed.ledger(bundle.name)
    for name in ("filters", "digest", "bundle", "mode"):  # what an older release verifies by
        assert last[name] == created[name] is not None


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[list[str]]:
    """Words before a command that then sees no containers of others: /run is empty."""
    with private_mounts(tmp_path, {}) as space:
        yield space.prefix


def test_without_names_only_containers_are_meant_that_would_get_the_overlay_now(
    node: LiveNode, alone: list[str]
) -> None:
    opted_out = node.started(annotations={"runc-wrap/seccomp": "unconfined"})
    confined, own = node.started(), node.bundle()
    with own.edited() as config:
        config["linux"]["seccomp"] = profile(rule("ERRNO", "reboot"))
    node.start(own)
    node.configure(OVERLAY)
    assert [one["id"] for one in node.tighten("--overlay", inside=alone)] == [confined.name]
    assert answers(confined, "no")
    (found,) = node.tighten("--profile", opted_out.name, status=1)
    assert "gives it no profile" in found["reasons"][0]
    assert answers(opted_out, "yes")
    assert answers(own, "yes")
    node.configure(OVERLAY + "existing = true\n")
    results = {one["id"]: one["result"] for one in node.tighten("--overlay", inside=alone)}
    assert results == {confined.name: "has it", own.name: "tightened"}
    assert answers(own, "no")
    node.tighten("--overlay", opted_out.name)
    assert answers(opted_out, "no")


def test_apply_names_it_as_stale_until_it_is_tightened(node: LiveNode, alone: list[str]) -> None:
    bundle = node.started()
    node.configure(OVERLAY)
    assert _stale(node) == [bundle.name]
    traced = [program("strace"), "-qq", "-o", "/dev/null", "-p", str(bundle.pid)]
    with subprocess.Popen(traced) as tracer:
        wait_until(lambda: status(bundle.pid)["TracerPid"] == str(tracer.pid), "tracing")
        (found,) = node.tighten("--overlay", bundle.name, status=1)
        tracer.terminate()
    assert (found["result"], answers(bundle, "yes")) == ("partly", True)
    assert _stale(node) == [bundle.name]
    for command in ("status", "verify"):
        assert "un `tighten` again" in node.installed.control(command, ok=False).stdout
    done = attempt([*alone, str(node.installed.ctl), "apply", "--live"])
    assert (done.returncode, _stale(node)) == (0, []), done.stderr
    assert node.installed.control("verify").returncode == 0
    assert answers(bundle, "no")


def test_a_process_that_only_joined_its_mounts_is_named_each_time(node: LiveNode) -> None:
    bundle = node.started()
    node.configure(OVERLAY)
    own = procfs.namespace(bundle.pid, "mnt")
    with subprocess.Popen(["nsenter", "-m", "-t", str(bundle.pid), "/bin/sleep", "100"]) as joined:
        wait_until(lambda: procfs.namespace(joined.pid, "mnt") == own, "its joining")
        named = f"the process {joined.pid} only joined its namespaces: left as it is"
        for result in ("tightened", "has it"):
            (found,) = node.tighten("--overlay", bundle.name)
            assert (found["result"], found["reasons"]) == (result, [named])
        joined.kill()


def test_two_at_once_both_add_their_filter(node: LiveNode) -> None:
    bundle = node.started()
    words = [str(node.installed.ctl), "tighten", "--json", bundle.name, "--named"]
    with ThreadPoolExecutor(2) as both:
        files = [node.installed.prefix / f"{call}.json" for call in ("mkdir", "mkdirat")]
        for file in files:
            file.write_text(json.dumps(profile(rule("ERRNO", file.stem))))
        done = [*both.map(lambda file: attempt([*words, str(file)]), files)]
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert len(node.installed.ledger(bundle.name)[-1]["laid"]) == 2
    assert (status(bundle.pid)["Seccomp_filters"], node.disagreeing()) == ("3", ([], []))


@pytest.mark.parametrize("pair", ["crun"], indirect=True)
def test_what_was_logged_before_is_logged_afterwards(node: LiveNode) -> None:
    node.configure('[default]\nmode = "enforce-log"\n')
    bundle = node.bundle().running(node.built("tightened"), "/out", "sits")  # calls keyctl
    with bundle.edited() as config:
        config["process"]["noNewPrivileges"] = True
    bundle.create(node.wrapper)

    def is_logged() -> bool:
        with kernel_log.told() as found:
            time.sleep(2)
        return any(one.pid == bundle.pid and one.number == KEYCTL for one in found.records)

    assert is_logged()
    node.configure(OVERLAY)
    (found,) = node.tighten("--overlay", bundle.name)
    assert (found["result"], is_logged()) == ("tightened", True)


def _stale(node: LiveNode) -> list[str]:
    return [one["id"] for one in node.installed.shown("apply", "--diff")["changes"]]


def test_a_dry_run_changes_nothing(node: LiveNode) -> None:
    bundle = node.started()
    node.configure(OVERLAY)
    state = bundle.path / "state" / bundle.name
    before = {file.name: file.read_bytes() for file in state.iterdir() if file.is_file()}
    ledger = node.installed.ledger()
    (found,) = node.tighten("--overlay", "--dry-run", bundle.name)
    assert found["result"] == "would be tightened"
    assert answers(bundle, "yes")
    assert node.execs(bundle)
    assert {file.name: file.read_bytes() for file in state.iterdir() if file.is_file()} == before
    assert node.installed.ledger() == ledger


def test_an_unconfined_container_gets_it_as_its_only_filter(node: LiveNode) -> None:
    node.configure(OFF)
    bundle = node.started()
    node.configure(OFF + OVERLAY)
    (found,) = node.tighten("--overlay", bundle.name)
    assert found["result"] == "tightened"
    assert all(one["after"]["filters"] == 1 for one in found["processes"])
    assert answers(bundle, "no")
    assert not node.execs(bundle)
    (one,) = (each for each in node.installed.shown("status") if each["id"] == bundle.name)
    assert (one["action"], one["agrees"], len(one["laid"])) == ("leave", True, 1)
    assert node.disagreeing() == ([], [])


def test_no_new_privs_is_set_only_if_that_is_asked_for(node: LiveNode) -> None:
    bundle = node.started(noNewPrivileges=False)
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


def test_a_profile_that_only_logs_asks_a_listener_ends_waits_or_denies_nothing_is_refused(
    node: LiveNode,
) -> None:
    bundle = node.started()
    node.configure('[default]\nmode = "audit"\n')
    (found,) = node.tighten("--profile", bundle.name, status=1)
    assert found["result"] == "refused"
    assert "audit" in found["reasons"][0]
    asks = node.installed.prefix / "asks.json"
    listener = partial(profile, listenerPath="/run/s")
    asks.write_text(json.dumps(listener(rule("NOTIFY", "mkdir"))))
    (found,) = node.tighten("--named", str(asks), bundle.name, status=1)
    assert found["result"] == "refused"
    assert "listener" in found["reasons"][0]
    asks.write_text(json.dumps(listener(rule("ERRNO", "restart_syscall"))))
    (found,) = node.tighten("--named", str(asks), bundle.name, status=1)
    assert "it denies restart_syscall" in found["reasons"][0]
    asks.write_text(json.dumps(profile(rule("ERRNO", "mkdirr"))))
    (found,) = node.tighten("--named", str(asks), bundle.name, status=1)
    assert 'would not deny them: "mkdirr"' in found["reasons"][0]


def test_the_decided_profile_is_laid_on_what_runs_unconfined_on_canaries_first_if_not_paused(
    node: LiveNode,
) -> None:
    node.configure(OFF)
    bundle = node.started()
    node.configure(OVERLAY)
    assert bundle.call(node.bare, "pause").returncode == 0
    (found,) = node.tighten("--profile", bundle.name, status=1)
    assert found["reasons"] == ["it is paused: resume it, then run this again"]
    assert bundle.call(node.bare, "resume").returncode == 0
    assert node.execs(bundle)
    (found,) = node.tighten("--profile", "--canary", "1", bundle.name)
    assert found["result"] == "tightened"
    assert found["filter"].startswith("containerd@")
    assert answers(bundle, "no")
    assert not node.execs(bundle)
    assert node.disagreeing() == ([], [])


def test_another_profile_is_added_to_an_older_one_unless_the_container_is_paused(
    node: LiveNode,
) -> None:
    bundle = node.started()
    strict = node.installed.prefix / "strict.json"
    strict.write_text(json.dumps(profile(rule("ERRNO", "mkdir", "mkdirat"))))
    assert bundle.call(node.bare, "pause").returncode == 0
    (found,) = node.tighten("--named", str(strict), bundle.name, status=1)
    assert (found["result"], found["processes"]) == ("refused", [])
    assert bundle.call(node.bare, "resume").returncode == 0
    assert node.execs(bundle)
    (found,) = node.tighten("--named", str(strict), bundle.name)
    assert (found["result"], found["reasons"]) == ("tightened", [])
    assert answers(bundle, "no")
    assert not node.execs(bundle)
    node.configure('[overlay]\ndeny = ["sysinfo"]\n')
    (found,) = node.tighten("--overlay", bundle.name)
    assert found["result"] == "tightened"
    assert len(node.installed.ledger(bundle.name)[-1]["laid"]) == 2
    assert node.disagreeing() == ([], [])


def test_what_the_kernel_has_no_room_for_is_refused_and_what_just_fits_is_added(
    node: LiveNode,
) -> None:
    denied = (["keyctl"], ["keyctl", "ptrace"])
    overs: list[Any] = [{"deny": one, "deny_sockets": [], "existing": True} for one in denied]
    fits, longer = (bpf.ebpf_length(laid_filter.of_overlay(one).program) for one in overs)
    assert longer > fits
    left = bpf.MOST_EBPF - fits - 8 * 4004
    node.configure(OFF)
    bundle = node.bundle()
    bundle.running(node.built("tightened"), "/out", "fills", *[4000] * 8, left - 4)
    pid = bundle.create(node.wrapper)
    out = bundle.path / "rootfs" / "out"
    wait_until(lambda: out.exists() and "keyctl" in out.read_text(), "its filters")
    node.configure(f"{OFF}[overlay]\ndeny = {denied[1]}\n")
    (found,) = node.tighten("--overlay", bundle.name, status=1)
    assert found["result"] == "refused"
    assert "32,768" in found["reasons"][0]
    assert status(pid)["Seccomp_filters"] == "9"
    node.configure(f"{OFF}[overlay]\ndeny = {denied[0]}\n")
    (found,) = node.tighten("--overlay", bundle.name)
    assert (found["result"], found["reasons"]) == ("tightened", [])
    assert status(pid)["Seccomp_filters"] == "10"


OFF, DENY_KEYCTL = '[default]\nmode = "off"\n', '[overlay]\ndeny = ["keyctl"]\n'


def test_who_only_looks_like_an_exec_of_the_container_is_not_waited_for(node: LiveNode) -> None:
    bundle = node.started()
    shutil.copy(node.built("tightened"), bundle.path / "rootfs" / "runc")
    words = ("/runc", "/out", "sits", "exec", bundle.name)
    done = bundle.call(node.wrapper, "exec", "--detach", after=words)
    assert done.returncode == 0, done.stdout
    node.configure(OVERLAY)
    (found,) = node.tighten("--overlay", "--set-no-new-privs", bundle.name)
    assert (found["result"], found["reasons"]) == ("tightened", [])


def test_a_process_whose_threads_have_different_filters_is_named_and_left(node: LiveNode) -> None:
    node.configure(OFF)
    bundle = node.bundle().running(node.built("tightened"), "/out", "diverged")
    pid = bundle.create(node.wrapper)
    out = bundle.path / "rootfs" / "out"
    wait_until(lambda: out.exists() and "begun" in out.read_text(), "its second thread")
    node.configure(OFF + DENY_KEYCTL)
    (found,) = node.tighten("--overlay", bundle.name, status=1)
    assert "different filters" in found["reasons"][0]
    tid = procfs.threads(pid)[-1].rpartition("/")[2]
    assert [status(one)["Seccomp_filters"] for one in (pid, tid)] == ["0", "1"]
    assert len(node.disagreeing()[0]) == 1


@pytest.mark.parametrize("words", [("hops",), ("hops", "diverged")])
def test_threads_each_of_which_makes_the_next_and_ends_are_tightened_or_named(
    node: LiveNode, words: tuple[str, ...]
) -> None:
    node.configure(OFF)
    bundle = node.bundle().running(node.built("tightened"), "/out", *words)
    with bundle.edited() as config:
        config["process"]["noNewPrivileges"] = True
    pid = bundle.create(node.wrapper)
    out = bundle.path / "rootfs" / "out"
    wait_until(lambda: out.exists() and "begun" in out.read_text(), "its threads")
    node.configure(OFF + DENY_KEYCTL)
    argv = [node.installed.ctl, "tighten", "--json", "--overlay", bundle.name]
    (found,) = json.loads(attempt([*map(str, argv)], seconds=600).stdout)["containers"]
    wait_until(lambda: "keyctl" in out.read_text(), "the last thread", 60)
    assert (found["result"] == "tightened") == (found["reasons"] == [])
    assert found["result"] != "tightened" or "keyctl 1\n" in out.read_text()
    assert (found["result"] == "tightened") == (node.disagreeing() == ([], []))
    os.kill(pid, 9)  # which no runtime does whose first thread has ended


def test_a_container_that_is_started_again_while_it_is_asked_is_not_called_tightened(
    node: LiveNode,
) -> None:
    bundle = node.started()
    node.configure(OVERLAY)
    ours, theirs = pty.openpty()
    words: list[Path | str] = [node.installed.ctl, "tighten", "--overlay", bundle.name]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs) as tighten:
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 4096)
        bundle.delete(node.wrapper)
        node.start(bundle, node.bare)
        os.write(ours, b"y\n")
        with suppress(OSError):  # EIO: nobody has it open any more
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    assert b"would lose" in shown
    assert (tighten.returncode, b"run this again" in shown) == (1, True), shown
    assert answers(bundle, "yes")
    assert node.execs(bundle)
