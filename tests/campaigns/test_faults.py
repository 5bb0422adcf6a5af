"""Creates under faults, more by `make campaign-faults`; and that the campaign detects defects."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.node.install import Installed
from harness.node.requirements import requires
from tests.campaigns import faults
from tests.campaigns.creates import HALF, LOST, STARTED, UNCONFINED, Creator, Fault

CREATES = int(os.environ.get("RUNC_WRAP_TEST_CREATES", "540"))  # sixty of each kind
SEED = int(os.environ.get("RUNC_WRAP_TEST_SEED", "1"))


def test_no_fault_loses_a_create_or_leaves_it_unconfined_or_half_done(installed: Installed) -> None:
    requires("cc", "prlimit", "setpriv", root=True)
    tally = faults.campaign(installed, CREATES, SEED)
    assert tally.wrong == []
    assert sum(tally.outcomes.values()) == CREATES
    assert min(sum(counts.values()) for counts in tally.kinds.values()) > 0
    assert tally.faulty > CREATES / 5  # faults are really met
    assert tally.outcomes["refused"] > CREATES / 50


@pytest.fixture(scope="module")
def machine(installed: Installed) -> Iterator[faults.Machine]:
    requires("cc", root=True)
    with faults.machine(installed) as made:
        faults._in_force("steps, cold", made)  # noqa: SLF001 - the campaign's own first step
        yield made


PLANTED = {
    UNCONFINED: 'exec {witness} "$@"',
    LOST: "exit 1",
    HALF: 'printf x >> {config}; exec {witness} "$@"',
}


@pytest.mark.parametrize("outcome", PLANTED)
def test_a_wrong_wrapper_is_detected(machine: faults.Machine, tmp_path: Path, outcome: str) -> None:
    creator = machine.creators[0]
    assert creator.create("sound", "plain", Fault()).outcome == STARTED
    script = PLANTED[outcome].format(witness=creator.witness, config=creator.config)
    planted = _wrapped_by(creator, tmp_path, script)
    assert planted.create("planted", "plain", Fault()).outcome == outcome


def _wrapped_by(creator: Creator, prefix: Path, script: str) -> Creator:
    wrapper = Installed(prefix).wrapper
    wrapper.parent.mkdir()
    wrapper.write_text(f"#!/bin/sh\n{script}\n")
    wrapper.chmod(0o755)
    return replace(creator, installed=Installed(prefix))


def test_a_create_without_a_ledger_line_is_detected(machine: faults.Machine) -> None:
    tally = faults.Tally()
    result = machine.creators[0].create("in-the-ledger", "plain", Fault())
    started = {result.name: Fault(), "not-in-the-ledger": Fault()}
    faults._check_ledger("steps, cold", machine.installed, started, tally)  # noqa: SLF001 - as above
    assert tally.wrong == ["steps, cold: the ledger lacks 1 creates: ['not-in-the-ledger']"]
