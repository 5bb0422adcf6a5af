"""runc-wrapctl selftest, which install.sh runs at its end."""

from pathlib import Path

import click

from runc_wrap.cli import options, output
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.compiled_policy import CompiledPolicy
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node import selftest_container
from runc_wrap.node.paths import Places

_NONE, _FILTER = 0, 2  # Seccomp: in /proc/PID/status
Json = dict[str, str | int | bool | None]


@click.command()
@options.shows
def selftest(places: Places, *, as_json: bool) -> bool:
    """Run three real containers and print each one's seccomp state in the kernel.

    Their rootfs is this machine's own programs, read-only; no image is pulled. The policy in force
    says which state is expected.
    """
    policy = policy_file.load(str(places.prefix))
    containers: tuple[tuple[str, dict[str, str]], ...] = (
        (f"without runc-wrap ({policy['runtime']['path']})", {}),
        (f"with runc-wrap ({places.wrapper})", {}),
        ("with runc-wrap, opted out by annotation", {"runc-wrap/seccomp": "unconfined"}),
    )
    with output.progress("Running three containers") as meter:
        results = [_result(places, policy, *one) for one in meter.counting(containers)]
    if as_json:
        output.document(results)
    else:
        for result in results:
            output.say(_line(result))
    return not all(result["as_expected"] for result in results)


def _result(places: Places, policy: CompiledPolicy, what: str, annotations: dict[str, str]) -> Json:
    """Run one. Raises TrialFailed if the real runtime alone starts no container here."""
    runtime, expected, reason = Path(policy["runtime"]["path"]), _NONE, None
    if is_ours := what.startswith("with "):
        runtime = places.wrapper
        what, expected, reason = _expected(policy, runtime, what, annotations)
    seccomp = error = None
    try:
        seccomp = selftest_container.run(runtime, places.var, annotations)
    except selftest_container.TrialFailed as failed:
        if not is_ours:
            raise
        error = str(failed)
    return {
        "container": what,
        "seccomp": seccomp,
        "expected": expected,
        "as_expected": seccomp == expected,
        "reason": reason,
        "error": error,
    }


def _expected(
    policy: CompiledPolicy, wrapper: Path, what: str, annotations: dict[str, str]
) -> tuple[str, int, str | None]:
    """Return what a container is, and its state by the policy, whose reason is given if it has."""
    usual = _NONE if annotations else _FILTER
    try:
        found = selftest_container.decided(policy, wrapper, annotations)
    except Refusal:  # so will the container be, with the same message
        return what, usual, None
    expected = _FILTER if found.block else _NONE
    if expected == _FILTER and annotations:
        what = f"{what}, which the policy does not honour"
    elif expected != usual:
        what = f"{what}, which the policy leaves unconfined: {found.decision.reason}"
    return what, expected, found.decision.reason


def _line(result: Json) -> str:
    if result["error"]:
        return f"Seccomp: -   {result['container']}   WRONG: it did not run: {result['error']}"
    verdict = "" if result["as_expected"] else f"   WRONG: {result['expected']} was expected"
    return f"Seccomp: {result['seccomp']}   {result['container']}{verdict}"
