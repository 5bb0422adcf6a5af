import pytest

from runc_wrap.report import workload_names
from runc_wrap.report.workload_names import Workload
from tests.unit.evidence.samples import record


@pytest.mark.parametrize(
    ("pod", "base"),
    [
        ("web-7d9c8b5f6-x2k4p", "web"),
        ("coredns-5d78c9869d-4vnqr", "coredns"),
        ("kube-proxy-x2k4p", "kube-proxy"),
        ("backup-29384756-x2k4p", "backup"),
        ("db-0", "db"),
        ("db-12", "db"),
        ("my-nginx-proxy", "my-nginx-proxy"),
        ("etcd-node-a", "etcd-node-a"),
        ("x2k4p", "x2k4p"),
        ("a", "a"),
    ],
)
def test_an_owners_suffix_is_removed(pod: str, base: str) -> None:
    assert workload_names.without_owner(pod) == base


def test_a_container_without_names_is_known_by_its_image_or_id() -> None:
    name = "a" * 64
    assert workload_names.of(record(name=name, image="nginx")) == Workload(
        None, None, None, "nginx"
    )
    assert workload_names.of(record(name=name)) == Workload(None, None, "a" * 12, None)
    assert workload_names.of(record(name="box")).name == "box"
