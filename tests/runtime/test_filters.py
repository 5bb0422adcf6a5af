"""The filter that the kernel has, read back from containers of real runc and crun."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from runc_wrap.hotpath.main import own_capabilities
from runc_wrap.hotpath.profile import resolve
from runc_wrap.node import bpf, compare, filters, programs, reference
from runc_wrap.profiles import abis, actions, syscalls
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.builtin import load
from runc_wrap.profiles.compiling import compile_profile
from runc_wrap.profiles.loading import Loader
from runc_wrap.profiles.machine import goarch, kernel
from tests.support import denials
from tests.support.kernel import status
from tests.support.processes import wait_until
from tests.support.requirements import requires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.runtime.conftest import Pair
    from tests.support.bundles import Bundle

CRI_DEFAULT = frozenset(
    "CAP_" + name
    for name in """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
    SYS_CHROOT KILL AUDIT_WRITE
    """.split()
)
# all: what this machine has to give
SETS = {"cri": CRI_DEFAULT, "none": frozenset[str](), "all": own_capabilities()}
# Linux lets these through without asking any filter (kernel/seccomp.c seccomp_uprobe_exception)
EXEMPT = {"uretprobe": 335, "uprobe": 336}


def loader_of(pair: Pair) -> Loader:
    found = programs.find_runtime([pair.kind])
    return Loader.of(found.kind, found.version)


def containerd(bounding: frozenset[str]) -> dict[str, Any]:
    made = compile_profile(load("containerd"), arch=goarch(), kernel=kernel())
    return resolve(made, bounding)


def give(bundle: Bundle, bounding: frozenset[str]) -> None:
    """Give a bundle's container these capabilities."""
    config = bundle.read()
    kinds = ("bounding", "effective", "permitted")
    config["process"]["capabilities"] = {kind: sorted(bounding) for kind in kinds}
    bundle.config.write_text(json.dumps(config))


@pytest.mark.parametrize("caps", SETS)
def test_the_filter_read_back_is_the_one_simulated(
    pair: Pair, make_bundle: Callable[..., Bundle], caps: str
) -> None:
    bundle = make_bundle(pair.kind)
    give(bundle, SETS[caps])
    pid = bundle.create(pair.wrapped)
    block = bundle.read()["linux"]["seccomp"]
    read = filters.read(pid)
    assert len(read) == filters.status(pid).count == 1
    expectation = compare.Expectation(block, loader_of(pair))
    assert [one.as_json() for one in expectation.differences(read)] == []
    made = reference.filter_bytes(expectation.simulation.load)
    assert read[0] == made if pair.kind == "crun" else read[0].endswith(made)
    if pair.kind == "runc":
        assert len(read[0]) > len(made)


def test_each_runtimes_filter_differs_from_the_others_by_the_stub_only(
    pairs: dict[str, Pair], make_bundle: Callable[..., Bundle]
) -> None:
    read = {}
    for kind, pair in pairs.items():
        bundle = make_bundle(kind)
        read[kind] = filters.read(bundle.create(pair.wrapped))
        block = bundle.read()["linux"]["seccomp"]
    found = compare.Expectation(block, loader_of(pairs["runc"])).differences(read["crun"])
    assert {(one.expected, one.found) for one in found} == {
        (actions.code("SCMP_ACT_ERRNO", errno.ENOSYS), actions.code("SCMP_ACT_ERRNO"))
    }
    stub = compare.Expectation(block, loader_of(pairs["runc"])).simulation.load.stub
    assert all(one.number > stub[ABIS[one.abi]] for one in found)


def test_a_swapped_filter_differs_in_the_calls_swapped_and_no_others(
    pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    block = containerd(frozenset())
    rules = [
        {**rule, "names": [name for name in rule["names"] if name not in ("mkdir", "getpid")]}
        for rule in block["syscalls"]
    ]
    only_inet = [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]
    swapped = [
        {**rule, "args": only_inet} if rule["names"] == ["socket"] else rule for rule in rules
    ]
    extra = {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}
    bundle = make_bundle(pair.kind, seccomp={**block, "syscalls": [*swapped, extra]})
    read = filters.read(bundle.create(pair.wrapped))
    found = compare.Expectation(block, loader_of(pair)).differences(read)
    for abi in abis.runnable(syscalls.native()):
        calls = {one.syscall: one for one in found if one.abi == abi.name}
        assert set(calls) == {"mkdir", "getpid", "socket", "mount"}
        assert {name for name, one in calls.items() if one.is_weaker} == {"mount"}
        assert calls["socket"].args is not None
        assert calls["mkdir"].expected == actions.ALLOW


def test_a_stripped_filter_differs_in_everything_denied(
    pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    pid = make_bundle(pair.kind).create(pair.bare)
    assert filters.read(pid) == ()
    found = compare.Expectation(containerd(frozenset()), loader_of(pair)).differences(())
    assert all(one.is_weaker for one in found)
    assert {"mount", "bpf", "kexec_load"} <= {one.syscall for one in found}


def test_a_process_execd_into_the_container_has_the_same_filter(
    pair: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle(pair.kind)
    bundle.create(pair.wrapped)
    expectation = compare.Expectation(bundle.read()["linux"]["seccomp"], loader_of(pair))
    pid_file = bundle.path / "exec.pid"
    flags = ("--detach", "--pid-file", str(pid_file))
    bundle.call(pair.wrapped, "exec", *flags, after=("/bin/sleep", "100"))
    read = filters.read(int(pid_file.read_text()))  # runc's stub has its ABIs in random order
    assert len(read) == 1
    assert expectation.differences(read) == ()


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return denials.build(tmp_path_factory.mktemp("denials") / "denials")


def running_probe(bundle: Bundle, pair: Pair, probe: Path) -> None:
    """Start a container that has the probe."""
    target = bundle.path / "rootfs/bin/denials"
    target.write_bytes(probe.read_bytes())
    target.chmod(0o755)
    bundle.create(pair.wrapped)


def test_calls_through_an_abi_left_out_are_killed_by_both_runtimes(
    pair: Pair, make_bundle: Callable[..., Bundle], probe: Path
) -> None:
    requires("/proc/sys/abi/vsyscall32")
    block = {**containerd(frozenset()), "architectures": ["SCMP_ARCH_X86_64"]}
    bundle = make_bundle(pair.kind, seccomp=block)
    running_probe(bundle, pair, probe)
    for word in ("i386", "x32"):
        done = bundle.call(pair.wrapped, "exec", after=("/bin/denials", word, "20", "22"))
        assert done.stdout == "".join(f"{word} {number} signal 31\n" for number in (20, 21, 22))
    native = bundle.call(pair.wrapped, "exec", after=("/bin/denials", "native", "39", "39"))
    assert native.stdout == "native 39 ok\n"


def test_the_probe_tells_a_filter_from_another(
    pair: Pair, make_bundle: Callable[..., Bundle], probe: Path
) -> None:
    block = denials.with_sentinels(containerd(frozenset()))
    rules = [
        {**rule, "names": [name for name in rule["names"] if name not in ("mkdir", "getpid")]}
        for rule in block["syscalls"]
    ]
    extra = {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}
    bundle = make_bundle(pair.kind, seccomp={**block, "syscalls": [*rules, extra]})
    running_probe(bundle, pair, probe)
    native = syscalls.native()
    done = bundle.call(pair.wrapped, "exec", after=("/bin/denials", *denials.words(native)))
    expectation = compare.Expectation(block, loader_of(pair))
    wrong = {one.name for one in denials.parse(done.stdout) if not agrees(one, expectation)}
    assert wrong == {"mkdir", "getpid", "mount"}


@pytest.mark.parametrize("abi", denials.WORDS)
@pytest.mark.parametrize("caps", ["none", "all"])
def test_every_call_made_in_a_container_gets_what_the_simulation_says(
    pair: Pair, make_bundle: Callable[..., Bundle], probe: Path, abi: str, caps: str
) -> None:
    requires("/proc/sys/abi/vsyscall32" if abi == "x86" else "/proc/self")
    block = denials.with_sentinels(containerd(SETS[caps]))
    bundle = make_bundle(pair.kind, seccomp=block)
    give(bundle, SETS[caps])
    running_probe(bundle, pair, probe)
    done = bundle.call(pair.wrapped, "exec", after=("/bin/denials", *denials.words(ABIS[abi])))
    expectation = compare.Expectation(block, loader_of(pair))
    wrong = [one for one in denials.parse(done.stdout) if not agrees(one, expectation)]
    assert [(one.name, one.kind, one.value) for one in wrong] == []


def agrees(result: denials.Result, expectation: compare.Expectation) -> bool:
    """Tell whether a call got what it must: the errno of its denial, or none of ours."""
    exempt = result.abi is ABIS["x86_64"] and result.number in EXEMPT.values()
    if result.kind == "skipped" or (exempt and not result.is_denied):
        return True
    minus = (1 << (32 if result.abi is ABIS["x86"] else 64)) - 1
    args = (minus, minus, minus, minus, minus, minus)
    code = expectation.code(result.abi, result.number, args)
    if code == actions.ALLOW:
        return not result.is_denied
    assert code & actions.ACTION_MASK == actions.ERRNO
    return (result.kind, result.value) == ("errno", code & actions.DATA_MASK)


# What can go wrong while reading.


@pytest.fixture
def confined() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this machine under a filter that allows everything."""
    requires(root=True)
    code = (
        "import pyseccomp, time\nf = pyseccomp.SyscallFilter(pyseccomp.ALLOW)\n"
        "f.add_rule(pyseccomp.ERRNO(111), 'mount')\nf.load()\nprint('x', flush=True)\n"
        "f.load()\nprint('y', flush=True)\ntime.sleep(100)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    wait_until(lambda: filters.status(process.pid).count == 2, "two filters")
    yield process
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def test_every_filter_of_a_process_is_read_and_it_runs_on(
    confined: subprocess.Popen[bytes],
) -> None:
    read = filters.read(confined.pid)
    assert len(read) == 2
    code = bpf.combined([bpf.program(one) for one in read], bpf.Call(0xC000003E, 165))
    assert code == actions.code("SCMP_ACT_ERRNO", 111)
    assert filters.status(confined.pid).tracer == 0
    assert status(confined.pid)["State"].startswith("S")


def test_a_stopped_process_is_read_and_stays_stopped(confined: subprocess.Popen[bytes]) -> None:
    confined.send_signal(signal.SIGSTOP)
    wait_until(lambda: status(confined.pid)["State"].startswith("T"), "the stop")
    assert len(filters.read(confined.pid)) == 2
    assert status(confined.pid)["State"].startswith("T (stopped)")


def test_a_traced_process_is_refused_by_name_of_its_tracer(
    confined: subprocess.Popen[bytes],
) -> None:
    requires("strace")
    tracer = subprocess.Popen(
        ["strace", "-o", "/dev/null", "-p", str(confined.pid)], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: filters.status(confined.pid).tracer == tracer.pid, "strace")
        with pytest.raises(filters.FiltersUnreadableError, match=f"process {tracer.pid}"):
            filters.read(confined.pid)
    finally:
        tracer.terminate()
        tracer.wait()


def test_a_process_that_is_gone_is_an_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(filters.FiltersUnreadableError, match="not there") as caught:
        filters.read(process.pid)
    assert caught.value.errno == errno.ESRCH


def test_without_privileges_reading_is_refused_in_a_sentence(
    confined: subprocess.Popen[bytes],
) -> None:
    child = os.fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            filters.read(confined.pid)
        except filters.FiltersUnreadableError as error:
            os._exit(3 if "not permitted" in str(error) else 4)
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_reading_takes_no_longer_than_allowed(confined: subprocess.Popen[bytes]) -> None:
    begun = time.monotonic()
    with pytest.raises(filters.FiltersUnreadableError, match="did not stop"):
        filters.read(confined.pid, seconds=-1)
    assert time.monotonic() - begun < 1
    wait_until(lambda: filters.status(confined.pid).tracer == 0, "the detaching")
    assert len(filters.read(confined.pid)) == 2


def test_a_paused_container_is_read_or_refused_in_time_and_goes_on_afterwards(
    runc: Pair, make_bundle: Callable[..., Bundle]
) -> None:
    bundle = make_bundle("runc")
    pid = bundle.create(runc.wrapped)
    paused = bundle.call(runc.wrapped, "pause")
    assert paused.returncode == 0, paused.stdout
    begun = time.monotonic()
    try:
        assert len(filters.read(pid, seconds=0.3)) == 1  # the freezer of cgroup version 2
    except filters.FiltersUnreadableError as error:  # that of version 1
        assert "frozen" in str(error)  # noqa: PT017 (either is right)
    finally:
        assert bundle.call(runc.wrapped, "resume").returncode == 0
    assert time.monotonic() - begun < 2
    wait_until(lambda: status(pid)["State"].startswith("S"), "the process going on")
    assert filters.status(pid).tracer == 0
    assert len(filters.read(pid)) == 1
