"""Containers that bring their engine's default profile: kept, recognized, taken over by a word.

`wrapped` has no policy; `adopts` takes over for what is as strict, with an overlay as the sign;
`adopts-weaker` (crun) takes over for `audit` and opt-outs, too.
"""

from typing import Any

import pytest

from harness.containers.block_rules import of_bundle
from harness.engines.containerd import Containerd
from harness.engines.cri import RUNTIME_DEFAULT, Ask, Cri
from harness.host.processes import installed_version
from harness.kernel.process_status import DISABLED, FILTER
from harness.node.install import Installed
from tests.engine.conftest import Client, Ctl

Json = dict[str, Any]
OPT_OUT = {"runc-wrap/seccomp": "unconfined"}
DENIED_TOO = {"names": ["mincore"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
BROUGHT = Ask(seccomp=RUNTIME_DEFAULT)


def _verified(ctl: Ctl) -> None:
    found = ctl.shown("verify", "--deep")
    assert (found["disagreeing"], found["checked"] > 0) == ([], True)


@pytest.fixture(scope="module")
def containerds() -> str:
    return f"containerd@{installed_version('containerd')}"


def test_without_adopt_a_runtime_default_container_is_kept_and_said_to_be_the_engines(
    node: Containerd, cri: Cri, installed: Installed, containerds: str
) -> None:
    ctl = Ctl(installed, node.space.prefix)
    container = cri.run(cri.run_pod("wrapped"), BROUGHT)
    line = installed.ledger(container)[0]
    assert (line["action"], line["declared"]) == ("keep", "own profile")
    assert "replaced" not in line
    shown = ctl.status()[container]
    assert (shown["declared"], shown["engine_default"]) == ("engine's default", containerds)
    told = f"engine's default profile ({containerds})"
    for words in (["status"], ["apply", "--check"], ["report"]):
        done = ctl(*words)
        assert told in done.stdout + done.stderr, words
    explained = ctl("explain", node.bundle(container)).stdout
    assert f"the engine's default, {containerds}, call by call" in explained


@pytest.mark.parametrize("add", [[], ["SYS_ADMIN"], ["ALL"]], ids=str)
def test_adopt_takes_over_a_runtime_default_container(
    node: Containerd, cri: Cri, governed: dict[str, Installed], containerds: str, add: list[str]
) -> None:
    ask = Ask(seccomp=RUNTIME_DEFAULT, add=add)
    before = of_bundle(node.bundle(cri.run(cri.run_pod("runc"), ask)))
    assert of_bundle(node.bundle(cri.run(cri.run_pod("wrapped"), ask))) == before
    container = cri.run(cri.run_pod("adopts"), ask)
    line = governed["adopts"].ledger(container)[0]
    assert (line["action"], line["mode"], line["profile"]) == ("inject", "enforce", containerds)
    assert (line["declared"], line["replaced"]) == ("engine's default", containerds)
    assert DENIED_TOO in of_bundle(node.bundle(container))["syscalls"]
    ctl = Ctl(governed["adopts"], node.space.prefix)
    shown = ctl.status()[container]
    assert (shown["agrees"], shown["replaced"]) == (True, containerds)
    _verified(ctl)
    changes = ctl("apply", "--diff").stdout
    assert "Running containers that would get a different filter or none: 0\n" in changes


def test_what_lets_more_through_leaves_the_engines_default_in_place(
    cri: Cri, governed: dict[str, Installed]
) -> None:
    watched = cri.run(cri.run_pod("adopts", namespace="watched"), BROUGHT)
    exempt = cri.run(cri.run_pod("adopts", OPT_OUT), BROUGHT)
    for container, why in ((watched, '"look first" applies'), (exempt, "opts out")):
        line = governed["adopts"].ledger(container)[0]
        assert (line["action"], line["declared"]) == ("keep", "engine's default")
        assert why in line["reason"]
        assert "replaced" not in line
        assert cri.seccomp(container) == FILTER
    without = cri.run_pod("adopts", OPT_OUT)
    assert cri.started(without) == DISABLED  # the annotation counts


def test_also_weaker_takes_over_for_audit_and_takes_the_filter_away_for_an_opt_out(
    node: Containerd, cri: Cri, governed: dict[str, Installed], containerds: str
) -> None:
    weaker = governed["adopts-weaker"]
    audited = cri.run(cri.run_pod("adopts-weaker"), BROUGHT)
    line = weaker.ledger(audited)[0]
    assert (line["action"], line["mode"], line["replaced"]) == ("inject", "audit", containerds)
    assert of_bundle(node.bundle(audited))["defaultAction"] == "SCMP_ACT_LOG"
    exempt = cri.run(cri.run_pod("adopts-weaker", OPT_OUT), BROUGHT)
    assert cri.seccomp(exempt) == DISABLED
    line = weaker.ledger(exempt)[0]
    assert (line["action"], line["filters"], line["replaced"]) == ("leave", 0, containerds)
    ctl = Ctl(weaker, node.space.prefix)
    assert ctl.status()[exempt]["agrees"] is True
    _verified(ctl)


def test_a_clients_default_is_kept_recognized_and_taken_over(
    client: Client, installed: Installed, governed: dict[str, Installed]
) -> None:
    kept = client.with_default("wrapped")
    assert installed.ledger(kept)[0]["action"] == "keep"
    inside = client.engine.space.prefix
    name = Ctl(installed, inside).status()[kept]["engine_default"]
    assert name.startswith(client.profile)
    for add in ([], ["--cap-add=SYS_ADMIN"]):
        container = client.with_default("adopts", *add)
        (line,) = governed["adopts"].ledger(container)
        assert (line["action"], line["profile"], line["replaced"]) == ("inject", name, name)
        assert DENIED_TOO in of_bundle(client.engine.bundle(container))["syscalls"]
    weaker = governed["adopts-weaker"]
    assert weaker.ledger(client.with_default("adopts-weaker"))[0]["mode"] == "audit"
    out = ("--annotation", "runc-wrap/seccomp=unconfined")
    assert client.engine.seccomp(client.with_default("adopts-weaker", *out)) == DISABLED
    for one in ("adopts", "adopts-weaker"):
        _verified(Ctl(governed[one], inside))
