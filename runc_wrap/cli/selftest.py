"""runc-wrapctl selftest, which install.sh runs at its end."""

from pathlib import Path
from typing import NamedTuple

import click

from runc_wrap.cli import output
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.compiled_policy import CompiledPolicy
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node import selftest_container
from runc_wrap.node.paths import Places

_OPT_OUT = {"runc-wrap/seccomp": "unconfined"}
_NONE, _FILTER = 0, 2  # Seccomp: in /proc/PID/status


class _Case(NamedTuple):
    """One container; `expected` is its state by the policy, whose `reason` is given if there is."""

    what: str
    runtime: Path
    annotations: dict[str, str]
    expected: int
    reason: str | None


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def selftest(places: Places, *, as_json: bool) -> bool:
    """Run three real containers and print each one's seccomp state in the kernel.

    Their rootfs is this machine's own programs, read-only; no image is pulled. The policy in force
    says which state is expected.
    """
    policy = policy_file.load(str(places.prefix))
    with output.progress("Running three containers") as meter:
        cases = meter.counting(_cases(policy, places.wrapper))
        results = [_result(case, places.var) for case in cases]
    if as_json:
        output.document(results)
    else:
        for result in results:
            output.say(_line(result))
    return not all(result["as_expected"] for result in results)


def _cases(policy: CompiledPolicy, wrapper: Path) -> list[_Case]:
    runtime = Path(policy["runtime"]["path"])
    return [
        _Case(f"without runc-wrap ({runtime})", runtime, {}, _NONE, None),
        _through_us(policy, wrapper, f"with runc-wrap ({wrapper})", {}),
        _through_us(policy, wrapper, "with runc-wrap, opted out by annotation", _OPT_OUT),
    ]


def _through_us(
    policy: CompiledPolicy, wrapper: Path, what: str, annotations: dict[str, str]
) -> _Case:
    usual = _NONE if annotations else _FILTER
    try:
        found = selftest_container.decided(policy, wrapper, annotations)
    except Refusal:  # so will the container be, with the same message
        return _Case(what, wrapper, annotations, usual, None)
    expected = _FILTER if found.block else _NONE
    if expected == _FILTER and annotations:
        what = f"{what}, which the policy does not honour"
    elif expected != usual:
        what = f"{what}, which the policy leaves unconfined: {found.decision.reason}"
    return _Case(what, wrapper, annotations, expected, found.decision.reason)


def _result(case: _Case, var: Path) -> dict[str, str | int | bool | None]:
    """Run one. Raises TrialFailed if the real runtime alone starts no container here."""
    try:
        seccomp: int | None = selftest_container.run(case.runtime, var, case.annotations).seccomp
        error = None
    except selftest_container.TrialFailed as failed:
        if not case.what.startswith("with "):
            raise
        seccomp, error = None, str(failed)
    return {
        "container": case.what,
        "seccomp": seccomp,
        "expected": case.expected,
        "as_expected": seccomp == case.expected,
        "reason": case.reason,
        "error": error,
    }


def _line(result: dict[str, str | int | bool | None]) -> str:
    if result["error"]:
        return f"Seccomp: -   {result['container']}   WRONG: it did not run: {result['error']}"
    verdict = "" if result["as_expected"] else f"   WRONG: {result['expected']} was expected"
    return f"Seccomp: {result['seccomp']}   {result['container']}{verdict}"
