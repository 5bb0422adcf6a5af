import pytest

from runc_wrap.report import workload_names
from runc_wrap.report.workload_names import Workload
from tests.unit.evidence.samples import record

SUFFIXES = "web -7d9c8b5f6-x2k4p,coredns -5d78c9869d-4vnqr,kube-proxy -x2k4p,db -0,db -12"
WITHOUT = "backup -29384756-x2k4p,my-nginx-proxy ,etcd-node-a ,x2k4p ,a "


@pytest.mark.parametrize("pod", f"{SUFFIXES},{WITHOUT}".split(","))
def test_an_owners_suffix_is_removed(pod: str) -> None:
    assert workload_names.without_owner(pod.replace(" ", "")) == pod.partition(" ")[0]


def test_a_container_without_names_is_known_by_its_image_or_id() -> None:
    name = "a" * 64
    nginx = Workload(None, None, None, "nginx")
    assert workload_names.of(record(name=name, image="nginx")) == nginx
    assert workload_names.of(record(name=name)) == Workload(None, None, "a" * 12, None)
    assert workload_names.of(record(name="box")).name == "box"
