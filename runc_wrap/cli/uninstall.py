"""runc-wrapctl uninstall."""

import sys

import click

from runc_wrap.cli import options, output
from runc_wrap.engines.registration import registration_state
from runc_wrap.engines.transaction import transaction_record
from runc_wrap.failure import Failure
from runc_wrap.host.locks import locked
from runc_wrap.installation import releases, uninstaller
from runc_wrap.installation.uninstaller import UninstallPlan
from runc_wrap.node.paths import Places


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--purge", is_flag=True, help="Remove your settings, profiles and records, too.")
@click.option("--hand-over", is_flag=True, help="Lead what is called to the real runtime; go on.")
@options.shows
def uninstall(places: Places, *, dry_run: bool, as_json: bool, **wanted: bool) -> None:
    """Take back what install.sh and `engine add` did, and list what is left.

    Refused while containers or engines need runc-wrap. With --hand-over it goes on: the paths and
    names that they call stay and lead to the real runtime, and you delete them later. Without
    --purge your settings and records (ledger, evidence, captured profiles, counters) stay. No
    engine is restarted.
    """
    if dry_run:
        if registration_state.unfinished(places):  # which planning takes back
            what = "a change of an engine is not over; run `runc-wrapctl engine revert` first"
            raise Failure(what)
        plan = _planned(places, **wanted)
        lines = [f"would {what}" for what, _ in uninstaller.steps(plan)]
        _tell(plan, lines, as_json=as_json, dry_run=True)
        return
    uninstaller.check(places)
    # what is planned is still so when it is done: no engine is changed meanwhile, either
    with locked(places.var, "install"), transaction_record.exclusive(places):
        plan = _planned(places, **wanted)
        releases.keep(places.prefix)  # not before: a refusal changes nothing
        done = []
        for what, do in uninstaller.steps(plan):
            if as_json:
                done.append(what)
            else:
                output.say(f"{what} ...")
            do()
        _tell(plan, done, as_json=as_json, dry_run=False)
        sys.stdout.flush()
        for line in uninstaller.finish(places, purges=wanted["purge"]):
            sys.stdout.write("" if as_json else f"{line}\n")


def _planned(places: Places, *, purge: bool, hand_over: bool) -> UninstallPlan:
    with output.progress("Looking who needs runc-wrap"):
        return uninstaller.plan(places, purges=purge, hands_over=hand_over)


def _tell(plan: UninstallPlan, lines: list[str], *, as_json: bool, dry_run: bool) -> None:
    left = [{"what": what, "why": why} for what, why in uninstaller.left(plan)]
    if as_json:
        output.document({"dry_run": dry_run, "steps": lines, "left": left})
        return
    for line in [*lines, *(f"left: {each['what']}: {each['why']}" for each in left)]:
        output.say(line)
