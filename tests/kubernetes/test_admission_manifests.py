"""The manifests of admission are valid in the Kubernetes releases that they are said to need."""

from __future__ import annotations

import kubernetes_validate
import pytest

from tests.kubernetes.admission_policy import rendered

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


def test_all_of_one_kind_go_together_and_by_label_is_left_alone_by_v1beta1() -> None:
    together = rendered("opt-out-by-right", "stamp-by-right", "runtime-class", "v1beta1")
    versions = {(one["kind"], one["apiVersion"].rpartition("/")[2]) for one in together}
    assert versions == {
        ("ClusterRole", "v1"),
        ("ValidatingAdmissionPolicy", "v1"),
        ("ValidatingAdmissionPolicyBinding", "v1"),
        ("MutatingAdmissionPolicy", "v1beta1"),
        ("MutatingAdmissionPolicyBinding", "v1beta1"),
    }
