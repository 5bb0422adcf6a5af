"""The components do the same in another namespace, and by other names."""

from __future__ import annotations

import pytest

from tests.kubernetes.admission_pods import OWN, pod
from tests.kubernetes.admission_policy import COMPONENTS, DeniedError, Json, Policies, Request

MOVED = {"namespace": "other", "namePrefix": "acme-", "nameSuffix": "-2"}
ALLOWED = {"runc-wrap.dev/opt-out": "allowed"}
CLASS = {"runc-wrap.dev/runtime-class": "runc-wrap"}
ELSEWHERE = ("own-node", "v1beta1")  # test_admission_own_node; has no policy of its own


STAMPED = {"metadata": {"annotations": {OWN: "unconfined"}}}
BY_RIGHT = frozenset({"team/default"})
# What is asked of each component, and of the object that is admitted; None if it is refused
DONE: dict[str, tuple[Request, Json | None]] = {
    "opt-out-by-label": (Request(pod(annotations={OWN: "unconfined"})), None),
    "opt-out-by-right": (Request(pod(annotations={OWN: "unconfined"})), None),
    "stamp-by-label": (Request(pod(seccomp="Unconfined"), labels=ALLOWED), STAMPED),
    "stamp-by-right": (Request(pod(seccomp="Unconfined"), granted=BY_RIGHT), STAMPED),
    "runtime-class": (Request(pod(), labels=CLASS), {"spec": {"runtimeClassName": "runc-wrap"}}),
}


@pytest.mark.parametrize("component", DONE)
def test_a_component_does_the_same(component: str) -> None:
    request, wanted = DONE[component]
    policies = Policies(component, **MOVED)
    if wanted is None:
        with pytest.raises(DeniedError):
            policies.admit(request)
        return
    found = policies.admit(request)
    assert all(one.items() <= found[key].items() for key, one in wanted.items())


def test_these_are_all_components() -> None:
    assert sorted((*DONE, *ELSEWHERE)) == COMPONENTS
