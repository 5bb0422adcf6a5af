"""The kernel's filters, read back from containers of real runc and crun."""

import errno
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from harness.containers import every_call
from harness.containers.bundles import Bundle
from harness.containers.system_bundles import CAPABILITIES
from harness.node.requirements import requires
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.filter_comparison import Expectation
from runc_wrap.filters.kernel import filter_readback, libseccomp_compiler, ptrace
from runc_wrap.hotpath.main import own_capabilities
from runc_wrap.hotpath.resolve import resolve
from runc_wrap.node import installed_programs
from runc_wrap.profiles import abis, actions, return_codes, syscall_names
from runc_wrap.profiles.abis import ABIS
from runc_wrap.profiles.builtin import load
from runc_wrap.profiles.composition import composed_profile
from runc_wrap.profiles.composition.composed_profile import Composed
from runc_wrap.profiles.platform import goarch, kernel
from runc_wrap.profiles.profile_compiler import compile_profile
from tests.runtime.conftest import Lab

CRI_DEFAULT = frozenset(CAPABILITIES)
# all: what this machine has to give
SETS = {"cri": CRI_DEFAULT, "none": frozenset[str](), "all": own_capabilities()}
# Linux lets these through without asking any filter (kernel/seccomp.c seccomp_uprobe_exception)
EXEMPT = {"uretprobe": 335, "uprobe": 336}


def loader_of(kind: str) -> Loader:
    found = installed_programs.find_runtime([kind])
    return Loader.of(found.kind, found.version)


def containerd(bounding: frozenset[str]) -> dict[str, Any]:
    made = compile_profile(load("containerd"), arch=goarch(), kernel=kernel())
    return resolve(made, bounding)


def give(bundle: Bundle, bounding: frozenset[str]) -> None:
    """Give these capabilities to a bundle's container."""
    kinds = ("bounding", "effective", "permitted")
    with bundle.edited() as config:
        config["process"]["capabilities"] = dict.fromkeys(kinds, sorted(bounding))


@pytest.mark.parametrize("caps", SETS)
def test_the_filter_read_back_equals_the_simulated_one(lab: Lab, caps: str) -> None:
    bundle = lab.bundle()
    give(bundle, SETS[caps])
    pid = bundle.create(lab.wrapped)
    block = bundle.read()["linux"]["seccomp"]
    read = filter_readback.read(pid)
    assert len(read) == ptrace.status(pid).count == 1
    expectation = Expectation(block, loader_of(lab.kind))
    assert expectation.differences(read) == ()
    made = libseccomp_compiler.filter_bytes(expectation.simulation.load)
    assert read[0] == made if lab.kind == "crun" else read[0].endswith(made)
    if lab.kind == "runc":
        assert len(read[0]) > len(made)


def test_the_runtimes_filters_differ_by_the_stub_only(runc: Lab, crun: Lab) -> None:
    read = {}
    for lab in (runc, crun):
        bundle = lab.bundle()
        read[lab.kind] = filter_readback.read(bundle.create(lab.wrapped))
        block = bundle.read()["linux"]["seccomp"]
    found = Expectation(block, loader_of(runc.kind)).differences(read["crun"])
    assert {(one.expected, one.found) for one in found} == {
        (actions.code("SCMP_ACT_ERRNO", errno.ENOSYS), actions.code("SCMP_ACT_ERRNO"))
    }
    stub = Expectation(block, loader_of(runc.kind)).simulation.load.stub
    assert all(one.number > stub[ABIS[one.abi]] for one in found)


def test_a_swapped_filter_differs_in_the_calls_swapped_and_no_others(lab: Lab) -> None:
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
    bundle = lab.bundle(seccomp={**block, "syscalls": [*swapped, extra]})
    read = filter_readback.read(bundle.create(lab.wrapped))
    found = Expectation(block, loader_of(lab.kind)).differences(read)
    for abi in abis.runnable(syscall_names.native()):
        calls = {one.syscall: one for one in found if one.abi == abi.name}
        assert set(calls) == {"mkdir", "getpid", "socket", "mount"}
        assert {name for name, one in calls.items() if one.is_weaker} == {"mount"}
        assert calls["socket"].args is not None
        assert calls["mkdir"].expected == return_codes.ALLOW


def test_a_stripped_filter_differs_in_everything_denied(lab: Lab) -> None:
    pid = lab.bundle().create(lab.bare)
    assert filter_readback.read(pid) == ()
    found = Expectation(containerd(frozenset()), loader_of(lab.kind)).differences(())
    assert all(one.is_weaker for one in found)
    assert {"mount", "bpf", "kexec_load"} <= {one.syscall for one in found}


def test_a_process_execd_into_the_container_has_the_same_filter(lab: Lab) -> None:
    bundle = lab.bundle()
    bundle.create(lab.wrapped)
    expectation = Expectation(bundle.read()["linux"]["seccomp"], loader_of(lab.kind))
    pid_file = bundle.path / "exec.pid"
    flags = ("--detach", "--pid-file", str(pid_file))
    bundle.call(lab.wrapped, "exec", *flags, after=("/bin/sleep", "100"))
    read = filter_readback.read(
        int(pid_file.read_text())
    )  # runc's stub has its ABIs in random order
    assert len(read) == 1
    assert expectation.differences(read) == ()


def probe(
    lab: Lab, block: dict[str, Any], bounding: frozenset[str] | None = None
) -> Callable[..., str]:
    """Start a container that has the probe; return what executes it with these words."""
    bundle = lab.bundle(seccomp=block)
    if bounding is not None:
        give(bundle, bounding)
    shutil.copy(lab.built("denials"), bundle.path / "rootfs/bin/denials")
    bundle.create(lab.wrapped)
    return lambda *words: bundle.call(lab.wrapped, "exec", after=("/bin/denials", *words)).stdout


def test_calls_through_an_omitted_abi_are_killed_by_both_runtimes(lab: Lab) -> None:
    requires("/proc/sys/abi/vsyscall32")
    block = {**containerd(frozenset()), "architectures": ["SCMP_ARCH_X86_64"]}
    told = probe(lab, block)
    for word in ("i386", "x32"):
        killed = "".join(f"{word} {number} signal 31\n" for number in (20, 21, 22))
        assert told(word, "20", "22") == killed
    assert told("native", "39", "39") == "native 39 ok\n"


def test_the_probe_distinguishes_two_filters(lab: Lab) -> None:
    block = every_call.with_sentinels(containerd(frozenset()))
    rules = [
        {**rule, "names": [name for name in rule["names"] if name not in ("mkdir", "getpid")]}
        for rule in block["syscalls"]
    ]
    extra = {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}
    told = probe(lab, {**block, "syscalls": [*rules, extra]})
    results = every_call.parse(told(*every_call.words(syscall_names.native())))
    expectation = Expectation(block, loader_of(lab.kind))
    wrong = {one.name for one in results if not agrees(one, expectation)}
    assert wrong == {"mkdir", "getpid", "mount"}


@pytest.mark.parametrize("abi", every_call.WORDS)
@pytest.mark.parametrize("caps", ["none", "all"])
def test_every_call_in_a_container_gets_the_simulated_answer(lab: Lab, abi: str, caps: str) -> None:
    requires("/proc/sys/abi/vsyscall32" if abi == "x86" else "/proc/self")
    block = every_call.with_sentinels(containerd(SETS[caps]))
    results = every_call.parse(probe(lab, block, SETS[caps])(*every_call.words(ABIS[abi])))
    expectation = Expectation(block, loader_of(lab.kind))
    wrong = [one for one in results if not agrees(one, expectation)]
    assert [(one.name, one.kind, one.value) for one in wrong] == []


@pytest.mark.parametrize("abi", every_call.WORDS)
def test_every_call_under_a_composed_profile_gets_the_simulated_answer(lab: Lab, abi: str) -> None:
    requires("/proc/sys/abi/vsyscall32" if abi == "x86" else "/proc/self")
    text = "containerd + @aio + keyctl - socket - flock"
    source = composed_profile.made(
        text, composed_profile.parse(text), lambda name: Composed(load(name), name)
    ).profile
    made = resolve(compile_profile(source, arch=goarch(), kernel=kernel()), CRI_DEFAULT)
    block = every_call.with_sentinels(made)
    told = probe(lab, block, CRI_DEFAULT)(*every_call.words(ABIS[abi]))
    expectation = Expectation(block, loader_of(lab.kind))
    results = {one.name: one for one in every_call.parse(told)}
    assert [one for one in results.values() if not agrees(one, expectation)] == []
    denied = {name for name, one in results.items() if one.is_denied}
    assert {"socket", "flock"} <= denied
    assert not {"io_setup", "keyctl", "connect"} & denied
    assert abi != "x86" or "socketcall" in denied


def agrees(result: every_call.Result, expectation: Expectation) -> bool:
    """Return whether a call got the expected result: the errno of its denial, or none of ours."""
    exempt = result.abi is ABIS["x86_64"] and result.number in EXEMPT.values()
    if result.kind == "skipped" or (exempt and not result.is_denied):
        return True
    minus = (1 << (32 if result.abi is ABIS["x86"] else 64)) - 1
    args = (minus, minus, minus, minus, minus, minus)
    code = expectation.code(result.abi, result.number, args)
    if code == return_codes.ALLOW:
        return not result.is_denied
    assert code & return_codes.ACTION_MASK == return_codes.ERRNO
    return (result.kind, result.value) == ("errno", code & return_codes.DATA_MASK)
