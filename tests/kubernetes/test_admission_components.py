"""The components of admission: valid where they are said to be, and the same by other names."""

import kubernetes_validate
import pytest

from tests.kubernetes.admission import (
    COMPONENTS,
    OWN,
    DeniedError,
    Json,
    Policies,
    Request,
    pod,
    rendered,
)

VALIDATING = ("opt-out-by-label", "opt-out-by-right", "own-node")
MUTATING = ("stamp-by-label", "stamp-by-right", "runtime-class")
NEWEST = "1.37"


def _refused(release: str, *components: str) -> list[str]:
    """Return the kinds that this release's API does not take."""
    kinds = []
    for document in rendered(*components):
        try:
            kubernetes_validate.validate(document, release, strict=True)
        except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.ValidationError):
            kinds.append(document["kind"])
    return kinds


@pytest.mark.parametrize("component", VALIDATING)
def test_a_validating_policy_needs_1_30(component: str) -> None:
    assert _refused("1.30", component) == _refused(NEWEST, component) == []
    assert "ValidatingAdmissionPolicy" in _refused("1.29", component)


@pytest.mark.parametrize("component", MUTATING)
def test_a_mutating_policy_needs_1_36_or_1_34_as_beta(component: str) -> None:
    assert _refused("1.36", component) == _refused(NEWEST, component) == []
    assert "MutatingAdmissionPolicy" in _refused("1.35", component)
    for release in ("1.34", "1.35"):
        assert _refused(release, component, "v1beta1") == []
    assert "MutatingAdmissionPolicy" in _refused("1.33", component, "v1beta1")


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
