"""Modes by rule, through CRI: the pod's namespace decides how it is confined."""

import pytest

from harness.containers import logged_calls
from harness.engines.cri import Ask, Cri
from harness.node.install import Installed

# keyctl(99): an operation that does not exist, so the kernel's own answer is harmless
KEYCTL = "x86_64:250:99"
DENIED = "errno 1"
LOGGED = "7ffc0000"
PROBE = [f"/{logged_calls.PROGRAM}", KEYCTL]


def _answers(cri: Cri, handler: str, namespace: str) -> dict[str, str]:
    container = cri.run(cri.run_pod(handler, namespace=namespace), Ask())
    return dict(line.split(" ", 1) for line in cri.exec(container, *PROBE).splitlines())


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_rule_decides_denial_and_logging_by_namespace(cri: Cri, runtime: str) -> None:
    free = _answers(cri, runtime, "team")
    assert free[KEYCTL] not in (DENIED, "errno 38"), "the kernel itself must let keyctl through"
    with logged_calls.audited() as silent:
        enforced = _answers(cri, f"ruled-{runtime}", "team")
    assert enforced[KEYCTL] == DENIED
    with logged_calls.audited() as audit:
        looked = _answers(cri, f"ruled-{runtime}", "batch-7")
    assert looked == free
    assert _answers(cri, f"ruled-{runtime}", "legacy") == free
    assert (*logged_calls.number(KEYCTL), LOGGED) in audit
    assert not {record for record in silent if record[:2] == logged_calls.number(KEYCTL)}


def test_the_ledger_names_the_rule_and_the_pod(cri: Cri, governed: dict[str, Installed]) -> None:
    container = cri.run(cri.run_pod("ruled-runc", namespace="batch-7"), Ask(name="app"))
    (line,) = governed["ruled-runc"].ledger(container)
    assert (line["namespace"], line["container"]) == ("batch-7", "app")
    assert (line["mode"], line["rule"]) == ("audit", "batch jobs: look first")
    assert line["engine"] == "containerd"


def test_a_pod_cannot_claim_an_exemption(cri: Cri) -> None:
    forged = {"io.kubernetes.cri.sandbox-namespace": "legacy"}
    for namespace, found in (("team", 2), ("legacy", 0)):
        pod = cri.run_pod("open-ruled", forged, namespace=namespace)
        assert cri.seccomp(cri.run(pod, Ask(annotations=forged))) == found
