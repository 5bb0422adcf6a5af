import resource
from typing import Any

import pytest

from runc_wrap.filters.evaluate.block_evaluation import Simulation
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.kernel import libseccomp_compiler
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.source_profile import ProfileError

HAS_LIBSECCOMP = syscall_names.known_to_libseccomp([]) is not None
pytestmark = pytest.mark.skipif(not HAS_LIBSECCOMP, reason="it needs libseccomp")


TOO = 'for socketcall, which makes socket too, compares .*; .* write abis = "native"$'


def made_of(*rules: Any, **more: Any) -> bytes:
    block = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(rules), **more}
    return libseccomp_compiler.filter_bytes(Simulation(block, Loader("crun")).load)


def rule(action: str, *args: tuple[int, str, int]) -> Any:
    told = [{"index": i, "op": f"SCMP_CMP_{op}", "value": value} for i, op, value in args]
    return {"names": ["getpid"], "action": f"SCMP_ACT_{action}", "args": told}


def test_what_libseccomp_refuses_is_reported_with_the_call() -> None:
    with pytest.raises(ProfileError, match="at a rule of getpid: another rule gives"):
        made_of(rule("ALLOW", (0, "EQ", 1)), rule("LOG", (0, "EQ", 1)))


@pytest.mark.parametrize(("listed", "said"), [([], "action$"), (["SCMP_ARCH_X86"], TOO)])
def test_where_a_multiplexer_makes_the_call_too_it_is_named_and_what_to_write(
    listed: list[str], said: str
) -> None:
    rules = [rule(action, (0, "EQ", 1)) | {"names": ["socket"]} for action in ("ALLOW", "LOG")]
    with pytest.raises(ProfileError, match=said):
        made_of(*rules, architectures=listed)


def test_a_filter_that_is_never_ready_is_given_up_after_so_much_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libseccomp_compiler, "SECONDS", 1)
    shared = (0, "NE", 2**64 - 1)
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(ProfileError, match="did not compile the profile within 1 s"):
        made_of(rule("ALLOW", (1, "GT", 3), shared), rule("LOG", (2, "NE", 3), shared))
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert round(ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime) == 1
