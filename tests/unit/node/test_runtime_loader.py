"""How the node's runtime loads profiles: its release, and that of its libseccomp."""

import json
from pathlib import Path
from typing import Any

import pytest

from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.node import runtime_loader
from runc_wrap.policy import policy_store
from runc_wrap.profiles.source_profile import ProfileError
from tests.unit.node import machine
from tests.unit.policy.node import compiled

LIBRARY = "io.github.seccomp.libseccomp.version"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return machine.empty(tmp_path, monkeypatch)


def _fake(directory: Path, name: str, version: str, printed: str = "", shown: Any = None) -> Path:
    """Simulate a runtime; `shown` are the annotations of its `features`, which it else lacks."""
    features = json.dumps({"annotations": shown})
    said = "exit 1" if shown is None else f"echo '{features}'"
    versions = f"printf '{name} version {version}\\n{printed}'"
    return machine.fake(directory, name, f'[ "$1" = features ] && {{ {said}; exit; }}; {versions}')


def test_the_runtime_in_force_counts_not_another_of_its_name(folder: Path, tmp_path: Path) -> None:
    _fake(folder, "runc", "1.1.13", "libseccomp: 2.5.4\\n")
    used = _fake(tmp_path / "own", "runc", "1.5.1", shown={LIBRARY: "2.6.0"})
    assert runtime_loader.of(tmp_path, "runc") == Loader.of("runc", "1.1.13", "2.5.4")
    policy_store.put_in_force(compiled(runtime_path=str(used)), tmp_path)
    assert runtime_loader.of(tmp_path, "runc") == Loader.of("runc", "1.5.1", "2.6.0")
    _fake(folder, "crun", "1.21", shown={LIBRARY: "2.6.1"})
    assert runtime_loader.of(tmp_path, "crun") == Loader.of("crun", "1.21", "2.6.1")


def test_what_a_runtime_does_not_say_is_not_known(folder: Path, tmp_path: Path) -> None:
    assert runtime_loader.of(tmp_path, "runc") == Loader("runc")
    runc = _fake(folder, "runc", "odd")
    assert runtime_loader.of(tmp_path, "runc") == Loader("runc")
    for printed in ("2.\\x1b[2J", 3, ["2.5.4"], "2" * 99):
        _fake(folder, "runc", "1.2.0", shown={LIBRARY: printed})
        assert runtime_loader.libseccomp(runc) is None


def _block(*names: str) -> dict[str, Any]:
    rule = {"names": [*names], "action": "SCMP_ACT_ALLOW"}
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}


def test_a_block_is_not_compared_if_libseccomp_lacks_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp_version, "loaded", lambda: ("2.5.5", "/lib"))
    known = "runc_wrap.profiles.syscall_names.known_to_libseccomp"
    monkeypatch.setattr(known, lambda names: frozenset(names) & {"read"})
    runc = Loader.of("runc", "1.4.0", "2.6.0")
    with pytest.raises(ProfileError, match=r"runc loads mseal, which its libseccomp 2.6.0 knows"):
        runtime_loader.check_comparable(_block("read", "mseal", "uprobe", "no_such_call"), runc)
    runtime_loader.check_comparable(_block("read", "uprobe", "no_such_call"), runc)
    runtime_loader.check_comparable(_block("mseal"), Loader.of("runc", "1.4.0", "2.5.5"))
    runtime_loader.check_comparable(_block("mseal"), Loader("runc"))
    with pytest.raises(ProfileError, match=r"loads no_such_call, which its libseccomp 2.7.0"):
        runtime_loader.check_comparable(_block("no_such_call"), Loader.of("crun", "1.21", "2.7.0"))


def _releases(loaders: list[Loader]) -> list[str]:
    return sorted(str(loader.library) for loader in loaders)


def test_other_libraries_are_those_that_make_another_filter_of_a_block() -> None:
    runc = Loader.of("runc", "1.4.0", "2.6.0")
    assert runtime_loader.of_other_libraries(_block("read", "write"), runc) == []
    named = _block("read", "mseal", "cachestat")
    assert _releases(runtime_loader.of_other_libraries(named, runc)) == ["2.5.4", "2.5.5"]
    old = Loader.of("runc", "1.4.0", "2.5.4")
    assert _releases(runtime_loader.of_other_libraries(named, old)) == ["2.5.5", "2.6.1"]
    assert all(one.version == old.version for one in runtime_loader.of_other_libraries(named, old))


def test_a_library_that_leaves_out_a_denial_is_none_of_them() -> None:
    denied = {"names": ["mseal"], "action": "SCMP_ACT_ERRNO"}
    allowed = {"names": ["cachestat"], "action": "SCMP_ACT_ALLOW"}
    runc = Loader.of("runc", "1.4.0", "2.6.0")
    for default, expected in (("SCMP_ACT_ALLOW", []), ("SCMP_ACT_ERRNO", ["2.5.4", "2.5.5"])):
        block = {"defaultAction": default, "syscalls": [denied, allowed]}
        assert _releases(runtime_loader.of_other_libraries(block, runc)) == expected
