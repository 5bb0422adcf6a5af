"""runc-wrapctl selftest, which install.sh runs at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from runc_wrap.cli import output, progress
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.errors import Refusal
from runc_wrap.node import trial_container

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places

_OPT_OUT = {"runc-wrap/seccomp": "unconfined"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def selftest(places: Places, *, as_json: bool) -> None:
    """Run three real containers and print each one's seccomp state in the kernel.

    Their rootfs is this machine's own programs, read-only; no image is pulled.
    """
    try:
        runtime = Path(policy_file.load(str(places.prefix))["runtime"]["path"])
        with progress.shown("Running three containers") as meter:
            cases = _cases(runtime, places.wrapper)
            results = [_result(*case) for case in meter.counting(cases)]
    except (Refusal, trial_container.TrialFailed) as error:
        output.fail(error)
    if as_json:
        output.document(results)
    else:
        for result in results:
            output.say(_line(result))
    if not all(result["as_expected"] for result in results):
        raise SystemExit(output.WRONG)


def _cases(runtime: Path, wrapper: Path) -> list[tuple[str, Path, dict[str, str], int]]:
    return [
        (f"without runc-wrap ({runtime})", runtime, {}, 0),
        (f"with runc-wrap ({wrapper})", wrapper, {}, 2),
        ("with runc-wrap, opted out by annotation", wrapper, _OPT_OUT, 0),
    ]


def _result(
    what: str, runtime: Path, annotations: dict[str, str], expected: int
) -> dict[str, str | int | bool | None]:
    """Run one. Raises TrialFailed if the real runtime alone starts no container here."""
    try:
        seccomp: int | None = trial_container.run(runtime, annotations).seccomp
        error = None
    except trial_container.TrialFailed as failed:
        if not what.startswith("with "):
            raise
        seccomp, error = None, str(failed)
    return {
        "container": what,
        "seccomp": seccomp,
        "expected": expected,
        "as_expected": seccomp == expected,
        "error": error,
    }


def _line(result: dict[str, str | int | bool | None]) -> str:
    if result["error"]:
        return f"Seccomp: -   {result['container']}   WRONG: it did not run: {result['error']}"
    verdict = "" if result["as_expected"] else f"   WRONG: {result['expected']} was expected"
    return f"Seccomp: {result['seccomp']}   {result['container']}{verdict}"
