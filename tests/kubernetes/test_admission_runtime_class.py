"""The pods of a labelled namespace get the RuntimeClass that the label names."""

from __future__ import annotations

import pytest

from tests.kubernetes.admission_pods import MIRROR, container, pod
from tests.kubernetes.admission_policy import Json, Policies, Request

LABELS = {"runc-wrap.dev/runtime-class": "runc-wrap"}


@pytest.fixture(scope="session")
def giving() -> Policies:
    return Policies("runtime-class")


@pytest.mark.parametrize(
    ("found", "named"),
    [
        pytest.param(pod(), "runc-wrap", id="none named"),
        pytest.param(pod(runtimeClassName=""), "runc-wrap", id="an empty name"),
        pytest.param(pod(annotations={}), "runc-wrap", id="an empty map of annotations"),
        pytest.param(pod(hostUsers=False), "runc-wrap", id="a user namespace"),
        pytest.param(pod(hostNetwork=True), "runc-wrap", id="the host's network"),
        pytest.param(pod(initContainers=[container("i")]), "runc-wrap", id="an init container"),
        pytest.param(pod(nodeSelector={"pool": "a"}), "runc-wrap", id="other selectors"),
        pytest.param(pod(nodeSelector={"kubernetes.io/os": "linux"}), "runc-wrap", id="for Linux"),
        pytest.param(pod(os={"name": "linux"}), "runc-wrap", id="of Linux"),
        pytest.param(pod(runtimeClassName="kata"), "kata", id="another named"),
        pytest.param(pod(os={"name": "windows"}), None, id="of Windows"),
        pytest.param(pod(nodeSelector={"kubernetes.io/os": "windows"}), None, id="for Windows"),
        pytest.param(pod(annotations=MIRROR, nodeName="n"), None, id="a mirror of a static pod"),
    ],
)
def test_a_pod_that_names_no_class_gets_its_namespaces(
    giving: Policies, found: Json, named: str | None
) -> None:
    after = giving.admit(Request(found, labels=LABELS))
    assert after["spec"].get("runtimeClassName") == named
    assert {**after["spec"], "runtimeClassName": 0} == {**found["spec"], "runtimeClassName": 0}
    assert after["metadata"] == found["metadata"]
    assert giving.admit(Request(after, labels=LABELS)) == after
    assert giving.admit(Request(found)) == found


def test_another_label_names_another_class_and_an_update_changes_none(giving: Policies) -> None:
    pools = {"runc-wrap.dev/runtime-class": "runc-wrap-pool-b"}
    assert (
        giving.admit(Request(pod(), labels=pools))["spec"]["runtimeClassName"] == pools.popitem()[1]
    )
    assert giving.admit(Request(pod(), pod(), "UPDATE", labels=LABELS)) == pod()
