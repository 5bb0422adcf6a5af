"""The built-in profiles and other dated tables, against facts about releases (literal here)."""

import errno

import pytest

from runc_wrap.host import program
from runc_wrap.node import seccomp_features
from runc_wrap.profiles import builtin, libseccomp_releases, syscall_names
from runc_wrap.profiles.engine_versions import Version, parse, reached, within
from runc_wrap.profiles.source_profile import ProfileError
from tests.unit.profiles.resolving import ADMIN, allowed, block_of, rules_on

ALLOW = {"action": "SCMP_ACT_ALLOW"}
NOT_VSOCK = [{"action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]}]
NOT_ALG_NOR_VSOCK = [
    {"action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_LT"}]},
    {"action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 39, "op": "SCMP_CMP_EQ"}]},
    {"action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_GT"}]},
]


SOCKETS = [
    ("containerd@1.6.39", [ALLOW]),
    ("containerd@1.7.0", NOT_VSOCK),
    ("containerd@1.7.32", NOT_ALG_NOR_VSOCK),
    ("containerd@2.0.9", NOT_ALG_NOR_VSOCK),
    ("containerd@2.2.4", NOT_ALG_NOR_VSOCK),
    ("containerd@2.3.1", NOT_ALG_NOR_VSOCK),
    ("moby@29.4.1", NOT_VSOCK),
    ("moby@29.4.2", NOT_ALG_NOR_VSOCK),
]


@pytest.mark.parametrize(("spec", "rules"), SOCKETS)
def test_sockets_are_confined_as_the_release_does(spec: str, rules: list[object]) -> None:
    assert rules_on(block_of(spec), "socket") == rules


RELEASES = [
    ("io_uring_setup", "containerd@2.0.0", "containerd@1.7.34"),
    ("pkey_alloc", "containerd@1.6.15", "containerd@1.6.16"),
    ("name_to_handle_at", "containerd@1.6.21", "containerd@1.6.22"),
    ("lsm_get_self_attr", "containerd@2.1.9", "containerd@2.2.0"),
    ("riscv_hwprobe", "moby@28.1.1", "moby@28.2.0"),
    ("fchmodat2", "containerd@1.7.12", "containerd@1.7.13"),
    ("process_vm_readv", "containerd@1.6.39", "containerd@1.7.0"),
    ("lsm_get_self_attr", "moby", "containerd"),
    ("io_uring_setup", "moby@25.0.0", "moby@24.0.9"),
    ("fchmodat2", "moby@25.0.2", "moby@25.0.3"),
    ("socketcall", "moby@29.4.2", "moby@29.4.3"),
    ("fanotify_init", "containers-common@0.62.2", "containers-common@0.63.0"),
    ("syscall", "containers-common@0.60.0", "containers-common@0.59.0"),
    ("unshare", "crio@1.30.5", "containers-common@0.57.1"),
    ("clone3", "crio@1.30.6", "crio@1.30.5"),
]


@pytest.mark.parametrize(("name", "without", "with_it"), RELEASES)
def test_calls_were_added_or_removed_with_a_release(name: str, without: str, with_it: str) -> None:
    assert name not in allowed(block_of(without))
    assert name in allowed(block_of(with_it))


@pytest.mark.parametrize("spec", ["containerd", "moby", "crio"])
def test_namespaces_need_the_capability(spec: str) -> None:
    assert {"clone", "clone3", "unshare"} <= allowed(block_of(spec, ADMIN))
    block = block_of(spec)
    assert not {"clone", "clone3", "unshare"} & allowed(block)
    assert rules_on(block, "clone3") == [{"action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS}]
    new_namespaces = {"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ"}
    assert rules_on(block, "clone")[0]["args"] == [new_namespaces]


def test_clone_flags_are_the_second_argument_on_s390x() -> None:
    for spec in ("containerd", "moby", "crio"):
        clones = rules_on(block_of(spec, arch="s390x"), "clone")
        assert {argument["index"] for rule in clones for argument in rule["args"]} == {1}


LISTED = [
    ("containerd", "amd64", "X86_64 X86 X32"),
    ("containerd", "arm64", "ARM AARCH64"),
    ("containerd@1.6.6", "riscv64", ""),
    ("containerd", "loong64", "LOONGARCH64"),
    ("containerd@2.0.11", "loong64", ""),
    ("containerd", "ppc64le", ""),
    ("containers-common", "riscv64", ""),
    ("containers-common", "s390x", "S390X S390"),
]


@pytest.mark.parametrize(("spec", "arch", "names"), LISTED)
def test_architectures_are_listed_like_the_engines(spec: str, arch: str, names: str) -> None:
    expected = ["SCMP_ARCH_" + name for name in names.split()]
    assert block_of(spec, arch=arch).get("architectures", []) == expected


VERSIONS = [
    ("containerd", "2.3.4"),
    ("containerd@1.7.24~ds1", "1.7.24"),
    ("containerd@1.7", "1.7.34"),
    ("containerd@1", "1.7.34"),
    ("containerd@1.6.3", "1.6.3"),
    ("containerd@1.9", "1.9.0"),
    ("containerd@2.2.0-rc.1", "2.2.0"),
    ("containerd@7.0.0", "2.3.4"),
    ("moby@26.1.5+dfsg1", "26.1.5"),
    ("moby@5:26.1.5-1~debian.12~bookworm", "26.1.5"),
    ("crio@1.30", "1.30.14"),
    ("containers-common@0.62.2+ds1-2", "0.62.2"),
]


@pytest.mark.parametrize(("spec", "version"), VERSIONS)
def test_versions_are_read_as_engines_and_debian_write_them(spec: str, version: str) -> None:
    assert builtin.load(spec).version == version


WRONG = [
    ("@aio", "@aio is no profile; add a group to one: runtime-default + @aio"),
    ("docker", "no built-in profile is called 'docker'; there are: containerd, "),
    ("containerd@", "'' is not a version; write it like 1.7.24"),
    ("containerd@latest", "'latest' is not a version"),
    *((f"containerd@{bad}", "is not a version") for bad in ("1.7.x", "1.", "1.2.3.4", "-1")),
    ("containerd@1.5.18", "containerd 1.5.18 is older than the built-in profiles, 1.6.0 to"),
    ("moby@20.10.27", "moby 20.10.27 is older than the built-in profiles, 23.0.0 to 29.7.2"),
    ("crio@1.24.6", "crio 1.24.6 is older than"),
]


@pytest.mark.parametrize(("spec", "sentence"), WRONG)
def test_a_wrong_name_or_version_is_refused_with_the_known_ones(spec: str, sentence: str) -> None:
    with pytest.raises(ProfileError) as refusal:
        builtin.load(spec)
    assert sentence in str(refusal.value)


BACKPORTED = "1.7.32 2.0.9 2.2.4 2.3.1"


def test_a_change_applies_to_the_named_series_and_all_later_ones() -> None:
    without = "1.6.39 1.7.31 2.0.8 2.1.9 2.2.3 2.3.0".split()
    carrying = "1.7.32 1.7.33 2.0.9 2.2.4 2.3.1 2.4.0 3.0.0".split()
    found = {each for each in without + carrying if reached(parse(each), BACKPORTED)}
    assert found == {*carrying}


def test_an_empty_bound_is_no_bound() -> None:
    bounds = ("-", "1.7.0-", "-1.8.0", "1.6.5-2.0.0", "1.8.0-", "-1.7.0")
    inside = [within(Version(1, 7, 5), *each.split("-")) for each in bounds]
    assert inside == [True] * 4 + [False] * 2


EVERY = libseccomp_releases.dated()


def _lacking(version: str) -> frozenset[str]:
    return libseccomp_releases.lacking(parse(version))


def test_the_table_agrees_with_the_installed_library() -> None:
    known = syscall_names.known_to_libseccomp(EVERY)
    runtime = next(filter(None, map(program.locate, ("runc", "crun"))), None)
    if known is None or runtime is None:
        pytest.skip("needs libseccomp, and runc or crun, which say which version it is")
    shown = seccomp_features.printed(runtime).annotations.libseccomp
    assert _lacking(shown) == EVERY - known


KNOWN = "2.4.3:clone3 2.4.4:faccessat2 2.5.0:faccessat2 2.5.6:mseal 2.6.0:mseal 2.6.1:uprobe"
LACKED = "2.4.1:clone3 2.5.4-1+deb12u1:cachestat 2.5.5:mseal 2.6.0:uprobe"


def test_a_call_is_known_from_its_release_on() -> None:
    for text, is_known in ((f"{KNOWN} 2.7.0:uprobe 2.5.6:no_such_call", True), (LACKED, False)):
        for version, name in (each.split(":") for each in text.split()):
            assert (name not in _lacking(version)) is is_known, (version, name)
