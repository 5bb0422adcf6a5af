"""Which system calls a cold create makes from cold.py to the exec of the runtime, exactly.

Memory management is left out, because it depends on the allocator. An additional call here means
that every container start searches, opens or writes one more file.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.containers import bundles
from harness.containers.bundles import Bundle
from harness.node import install
from harness.node.requirements import requires

MEMORY = {"brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "futex", "getrandom"}
_OURS = {
    "rename": 1, "unlink": 1, "fchmod": 1, "write": 2,  # the new config.json, the ledger
    "readlink": 5, "getpid": 2, "rt_sigaction": 2,
}  # fmt: skip
# The others come in pairs from the interpreter and from us, so they differ between versions.
EXPECTED = {
    (3, 11): Counter(
        openat=13, close=14, read=19, fstat=16, newfstatat=16, lseek=13, ioctl=3, getdents64=4,
        **_OURS,
    ),
    (3, 13): Counter(
        openat=9, close=10, read=16, fstat=11, newfstatat=4, lseek=10, ioctl=3, **_OURS,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> install.Installed:
    requires("strace", root=True)
    python = f"{sys.base_prefix}/bin/python3"
    made = install.install(tmp_path_factory.mktemp("syscalls") / "prefix", python)
    install.use_runtime(made, "/bin/true")
    return made


def _trace(installed: install.Installed, bundle: Bundle) -> str:
    """Return strace's lines of one create."""
    output = bundle.path / "trace"
    argv: list[str | Path] = ["strace", "-s", "400", "-o", output]
    argv += [installed.wrapper, "create", "--bundle", bundle.path, "ID"]
    subprocess.run(argv, check=True, timeout=60)
    return output.read_text()


def _calls(installed: install.Installed, bundle: Bundle) -> Counter[str]:
    """Return how often each call is made, between cold.py's opening and the runtime's exec."""
    trace = _trace(installed, bundle)
    assert '"seccomp"' in bundle.config.read_text()
    ours = trace.partition('cold.py", O_RDONLY')[2].rpartition('execve("/bin/true"')[0]
    names = re.findall(r"^(\w+)\(", ours, re.MULTILINE)
    return Counter(name for name in names if name not in MEMORY)


def test_a_cold_create_makes_these_system_calls_and_no_other(
    installed: install.Installed, bundle: Bundle
) -> None:
    _calls(installed, bundle)  # the first one makes the ledger's directory
    bundle.config.write_text(bundles.make(bundle.path / "again", "runc").config.read_text())
    assert _calls(installed, bundle) == EXPECTED[sys.version_info[:2]]


def test_a_create_with_a_candidate_makes_the_same_calls(
    installed: install.Installed, bundle: Bundle, tmp_path: Path
) -> None:
    own = install.copy_of(installed, tmp_path / "own")
    own.configure('[default]\nprofile = "containerd@1.7.24"\ncandidate = "containerd@2.3.1"\n')
    install.use_runtime(own, "/bin/true")
    before = bundle.config.read_text()
    _calls(own, bundle)  # as above
    assert '"SCMP_ACT_LOG"' in bundle.config.read_text()
    bundle.config.write_text(before)
    assert _calls(own, bundle) == EXPECTED[sys.version_info[:2]]


@pytest.mark.parametrize(("asks", "opened"), [({}, 0), ({"runc-wrap/seccomp": "unconfined"}, 1)])
def test_a_sandboxs_config_is_opened_once_and_only_for_an_annotation_that_needs_it(
    installed: install.Installed, tmp_path: Path, asks: dict[str, str], opened: int
) -> None:
    of_pod = {"io.kubernetes.cri.sandbox-id": "sandbox", **asks}
    place = tmp_path / "io.containerd.runtime.v2.task" / "k8s.io"
    place.mkdir(parents=True)
    made = {}
    for name in ("container", "sandbox"):
        made[name] = bundles.make(place / name, "runc")
        with made[name].edited() as config:
            config["annotations"] = {**of_pod, "io.kubernetes.cri.container-type": name}
    trace = _trace(installed, made["container"])
    assert (
        len(re.findall(rf'^open\w*\(.*"{place}/sandbox/config.json', trace, re.MULTILINE)) == opened
    )
    assert ('"seccomp"' in made["container"].config.read_text()) == (not asks)


def test_an_additional_file_lookup_is_detected(
    installed: install.Installed, bundle: Bundle, tmp_path: Path
) -> None:
    """The control: without the packed modules, each one is searched for."""
    packed = installed.release / "hotpath" / "hotpath.packed"
    aside = packed.rename(tmp_path / "aside")
    try:
        assert _calls(installed, bundle).total() > EXPECTED[sys.version_info[:2]].total() + 100
    finally:
        aside.rename(packed)
