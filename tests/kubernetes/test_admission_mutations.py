"""What admission writes into a pod: an explicit Unconfined as our annotation, a RuntimeClass."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kubernetes.admission import (
    LONGEST,
    MIRROR,
    OLD,
    OLD_OF,
    OWN,
    Json,
    Policies,
    Request,
    container,
    each_container,
    left,
    pod,
    written,
)

ALLOWED = {"runc-wrap.dev/opt-out": "allowed"}
OUT, DEFAULT = "Unconfined", "RuntimeDefault"
FITS = "b" * 55  # the longest name that fits into our key


@pytest.fixture(scope="session")
def stamping() -> Policies:
    """Both policies by label, as they are meant to be used."""
    return Policies("stamp-by-label", "opt-out-by-label")


def _init(*words: str, **more: Any) -> list[Json]:
    return [container("init", *words, **more)]


SIDE_CONFINED = {f"{OLD_OF}side": "runtime/default"}
# A pod, the key that is written, and who runs unconfined
STAMPED: dict[str, tuple[Json, str, str]] = {
    "nothing asked": (pod(), "", ""),
    "the default asked": (pod(seccomp=DEFAULT), "", ""),
    "by the pod": (pod(seccomp=OUT), OWN, "app"),
    "an empty map": (pod(seccomp=OUT, annotations={}), OWN, "app"),
    "other annotations, which stay": (pod(seccomp=OUT, annotations={"a/b~c": "d"}), OWN, "app"),
    "by a container": (pod(container("app", OUT)), f"{OWN}.app", "app"),
    "by one of two": (pod(container("app", OUT), container("side")), f"{OWN}.app", "app"),
    "by the pod, and one container asks for the default": (
        pod(container("app"), container("side", DEFAULT), seccomp=OUT), f"{OWN}.app", "app"),
    "by a container against its pod": (
        pod(container("app", OUT), seccomp=DEFAULT), f"{OWN}.app", "app"),
    "by an init container": (pod(initContainers=_init(OUT)), f"{OWN}.init", "init"),
    "by the pod, with an init container": (
        pod(initContainers=_init(), seccomp=OUT), OWN, "app init"),
    "by a native sidecar": (
        pod(initContainers=_init(OUT, restartPolicy="Always")), f"{OWN}.init", "init"),
    "a long name": (pod(container(FITS, OUT)), f"{OWN}.{FITS}", FITS),
    "the longest name, in the old key": (
        pod(container(LONGEST, OUT)), f"{OLD_OF}{LONGEST}", LONGEST),
    "the author's annotation decides": (
        pod(seccomp=OUT, annotations={OWN: "runtime-default"}), "", ""),
    "the old one, too": (pod(seccomp=OUT, annotations={OLD: "runtime/default"}), "", ""),
    "the author's annotation for one container": (
        pod(container("app"), container("side"), seccomp=OUT, annotations=SIDE_CONFINED),
        f"{OWN}.app", "app"),
    "the author's annotation for the container that asks": (
        pod(container("app", OUT), annotations={f"{OWN}.app": "runtime-default"}), "", ""),
    "a mirror of a static pod": (pod(seccomp=OUT, annotations=MIRROR), "", ""),
    "Windows": (pod(os={"name": "windows"}), "", ""),
    "Linux": (pod(os={"name": "linux"}, seccomp=OUT), OWN, "app"),
}  # fmt: skip


@pytest.mark.parametrize("case", STAMPED)
def test_an_explicit_unconfined_reaches_the_node(stamping: Policies, case: str) -> None:
    found, key, unconfined = STAMPED[case]
    assert not left(found)  # without us, nobody behind the kubelet can tell
    after = stamping.admit(Request(found, labels=ALLOWED))
    assert written(after) == written(found) | ({key: "unconfined"} if key else {})
    assert left(after) == set(unconfined.split())
    assert _without_annotations(after) == _without_annotations(found)
    assert stamping.admit(Request(found)) == found  # not where the namespace may not


@pytest.mark.parametrize("key", [OWN, f"{OWN}.app"])
def test_what_already_opts_out_and_an_update_stay_as_they_are(stamping: Policies, key: str) -> None:
    found = pod(container("app", OUT), annotations={key: "unconfined"})
    assert stamping.admit(Request(found, labels=ALLOWED)) == found
    assert left(found) == {"app"}
    found = pod(seccomp=OUT)
    assert stamping.admit(Request(found, found, "UPDATE", labels=ALLOWED)) == found


def test_an_ephemeral_container_is_covered_by_its_pods_stamp_only(stamping: Policies) -> None:
    """The API server drops annotations of such an update, so that nothing could be stamped."""
    debug = {"ephemeralContainers": [container("debug", OUT)]}
    for seccomp, unconfined in ((OUT, {"app", "debug"}), ("", set())):
        before = stamping.admit(Request(pod(seccomp=seccomp), labels=ALLOWED))
        after = {**before, "spec": {**before["spec"], **debug}}
        way = Request(after, before, "UPDATE", "pods/ephemeralcontainers", labels=ALLOWED)
        assert stamping.admit(way) == after
        assert left(after) == unconfined


STAMPS = [("team/builder", {OWN: "unconfined"}), ("other/builder", {}), ("", {})]


@pytest.mark.parametrize(("granted", "stamped"), STAMPS)
def test_by_right_it_is_the_service_accounts(granted: str, stamped: Json) -> None:
    policies = Policies("stamp-by-right", "opt-out-by-right")
    found = pod(seccomp=OUT, serviceAccountName="builder")
    request = Request(found, granted=frozenset({granted}), labels=ALLOWED)
    assert written(policies.admit(request)) == stamped


_NAMES = st.lists(
    st.sampled_from(["app", "side", "init", FITS, FITS + "b", LONGEST]), min_size=1, unique=True
)
_TYPES = st.sampled_from(["", OUT, DEFAULT, "Localhost"])
_ASKING = st.sampled_from(["unconfined", "runtime-default"])


@st.composite
def _pods(draw: st.DrawFn) -> Json:
    made = [container(name, draw(_TYPES)) for name in draw(_NAMES)]
    first = draw(st.integers(1, len(made)))
    keys = st.sampled_from([OWN, OLD, f"{OWN}.app", f"{OLD_OF}app", f"{OLD_OF}{LONGEST}", "a/b"])
    map_of = draw(st.none() | st.dictionaries(keys, _ASKING, max_size=2))
    spec = {"initContainers": made[first:]} if made[first:] else {}
    return pod(*made[:first], annotations=map_of, seccomp=draw(_TYPES), **spec)


@given(found=_pods())
def test_who_asks_by_field_and_not_by_annotation_runs_unconfined_and_nobody_else(
    stamping: Policies, found: Json
) -> None:
    asking = {
        one["name"]
        for one in each_container(found)
        if _type(one, found) == OUT and not _keys(one["name"]) & written(found).keys()
    }
    after = stamping.admit(Request(found, labels=ALLOWED))
    assert left(after) == asking | left(found)
    assert stamping.admit(Request(after, labels=ALLOWED)) == after
    assert written(found).items() <= written(after).items()
    names = [key.partition("/")[2] for key in written(after)]
    assert max(map(len, names), default=0) <= 63  # or the API server refuses the pod


def _keys(name: str) -> set[str]:
    return {f"{OWN}.{name}", OWN, f"{OLD_OF}{name}", OLD}


def _type(of: Json, found: Json) -> str:
    for each in (of, found["spec"]):
        if kind := each.get("securityContext", {}).get("seccompProfile", {}).get("type"):
            return str(kind)
    return ""


def _without_annotations(found: Json) -> Json:
    metadata = {key: value for key, value in found["metadata"].items() if key != "annotations"}
    return {**found, "metadata": metadata}


LABELS = {"runc-wrap.dev/runtime-class": "runc-wrap"}


@pytest.fixture(scope="session")
def giving() -> Policies:
    return Policies("runtime-class")


NAMED = [
    pytest.param(pod(), "runc-wrap", id="none named"),
    pytest.param(pod(runtimeClassName=""), "runc-wrap", id="an empty name"),
    pytest.param(pod(annotations={}), "runc-wrap", id="an empty map of annotations"),
    pytest.param(pod(hostUsers=False), "runc-wrap", id="a user namespace"),
    pytest.param(pod(nodeSelector={"pool": "a"}), "runc-wrap", id="other selectors"),
    pytest.param(pod(nodeSelector={"kubernetes.io/os": "linux"}), "runc-wrap", id="for Linux"),
    pytest.param(pod(os={"name": "linux"}), "runc-wrap", id="of Linux"),
    pytest.param(pod(runtimeClassName="kata"), "kata", id="another named"),
    pytest.param(pod(os={"name": "windows"}), None, id="of Windows"),
    pytest.param(pod(nodeSelector={"kubernetes.io/os": "windows"}), None, id="for Windows"),
    pytest.param(pod(annotations=MIRROR, nodeName="n"), None, id="a mirror of a static pod"),
]


@pytest.mark.parametrize(("found", "named"), NAMED)
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
