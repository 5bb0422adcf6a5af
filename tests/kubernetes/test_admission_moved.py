"""The components do the same in another namespace, and by other names."""

from __future__ import annotations

import pytest

from tests.kubernetes.admission_pods import OWN, pod
from tests.kubernetes.admission_policy import COMPONENTS, DeniedError, Policies, Request

MOVED = {"namespace": "other", "namePrefix": "acme-", "nameSuffix": "-2"}
ALLOWED = {"runc-wrap.dev/opt-out": "allowed"}
CLASS = {"runc-wrap.dev/runtime-class": "runc-wrap"}
ELSEWHERE = ("own-node", "v1beta1")  # test_admission_own_node; has no policy of its own


@pytest.mark.parametrize("component", ["opt-out-by-label", "opt-out-by-right"])
def test_an_opt_out_is_refused(component: str) -> None:
    with pytest.raises(DeniedError):
        Policies(component, **MOVED).admit(Request(pod(annotations={OWN: "unconfined"})))


def test_an_unconfined_pod_is_stamped_by_label() -> None:
    asked = Request(pod(seccomp="Unconfined"), labels=ALLOWED)
    found = Policies("stamp-by-label", **MOVED).admit(asked)
    assert found["metadata"]["annotations"] == {OWN: "unconfined"}


def test_an_unconfined_pod_is_stamped_by_right() -> None:
    granted = frozenset({"team/default"})
    asked = Request(pod(seccomp="Unconfined"), granted=granted)
    found = Policies("stamp-by-right", **MOVED).admit(asked)
    assert found["metadata"]["annotations"] == {OWN: "unconfined"}


def test_a_pod_gets_its_namespaces_class() -> None:
    found = Policies("runtime-class", **MOVED).admit(Request(pod(), labels=CLASS))
    assert found["spec"]["runtimeClassName"] == "runc-wrap"


def test_these_are_all_components() -> None:
    tried = ("opt-out-by-label", "opt-out-by-right", "stamp-by-label", "stamp-by-right",
             "runtime-class")  # fmt: skip
    assert sorted((*tried, *ELSEWHERE)) == COMPONENTS
