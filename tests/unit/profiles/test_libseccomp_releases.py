"""Which calls a release of libseccomp knows, compared with the one that is installed."""

from __future__ import annotations

import pytest

from runc_wrap.host import program
from runc_wrap.node import seccomp_features
from runc_wrap.profiles import engine_versions, libseccomp_releases, syscall_names

EVERY = libseccomp_releases.dated()


def _lacking(version: str) -> frozenset[str]:
    return libseccomp_releases.lacking(engine_versions.parse(version))


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
