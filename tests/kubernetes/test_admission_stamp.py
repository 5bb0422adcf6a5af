"""An explicit Unconfined becomes an annotation that the node understands: stamp-by-…."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kubernetes.admission_pods import (
    LONGEST,
    MIRROR,
    OLD,
    OLD_OF,
    OWN,
    container,
    each_container,
    left,
    pod,
    written,
)
from tests.kubernetes.admission_policy import Json, Policies, Request

ALLOWED = {"runc-wrap.dev/opt-out": "allowed"}
OUT, DEFAULT = "Unconfined", "RuntimeDefault"
FITS = "b" * 55  # the longest name that fits into our key


@pytest.fixture(scope="session")
def stamping() -> Policies:
    """Both policies by label, as they are meant to be used."""
    return Policies("stamp-by-label", "opt-out-by-label")


@pytest.mark.parametrize(
    ("found", "stamped", "unconfined"),
    [
        pytest.param(pod(), {}, "", id="nothing asked"),
        pytest.param(pod(seccomp=DEFAULT), {}, "", id="the default asked"),
        pytest.param(pod(seccomp=OUT), {OWN: "unconfined"}, "app", id="by the pod"),
        pytest.param(
            pod(seccomp=OUT, annotations={}), {OWN: "unconfined"}, "app", id="an empty map"
        ),
        pytest.param(
            pod(seccomp=OUT, annotations={"a/b~c": "d"}),
            {OWN: "unconfined"},
            "app",
            id="with other annotations, which stay",
        ),
        pytest.param(
            pod(container("app", OUT)), {f"{OWN}.app": "unconfined"}, "app", id="by a container"
        ),
        pytest.param(
            pod(container("app", OUT), container("side")),
            {f"{OWN}.app": "unconfined"},
            "app",
            id="by one of two",
        ),
        pytest.param(
            pod(container("app"), container("side", DEFAULT), seccomp=OUT),
            {f"{OWN}.app": "unconfined"},
            "app",
            id="by the pod, and one container asks for the default",
        ),
        pytest.param(
            pod(container("app", OUT), seccomp=DEFAULT),
            {f"{OWN}.app": "unconfined"},
            "app",
            id="by a container against its pod",
        ),
        pytest.param(
            pod(initContainers=[container("init", OUT)]),
            {f"{OWN}.init": "unconfined"},
            "init",
            id="by an init container",
        ),
        pytest.param(
            pod(initContainers=[container("init")], seccomp=OUT),
            {OWN: "unconfined"},
            "app init",
            id="by the pod, with an init container",
        ),
        pytest.param(
            pod(initContainers=[container("init", OUT, restartPolicy="Always")]),
            {f"{OWN}.init": "unconfined"},
            "init",
            id="by a native sidecar",
        ),
        pytest.param(
            pod(hostUsers=False, seccomp=OUT), {OWN: "unconfined"}, "app", id="a user namespace"
        ),
        pytest.param(
            pod(container(FITS, OUT)), {f"{OWN}.{FITS}": "unconfined"}, FITS, id="a long name"
        ),
        pytest.param(
            pod(container(LONGEST, OUT)),
            {f"{OLD_OF}{LONGEST}": "unconfined"},
            LONGEST,
            id="the longest name, in the old key",
        ),
        pytest.param(
            pod(seccomp=OUT, annotations={OWN: "runtime-default"}),
            {},
            "",
            id="the author's annotation decides",
        ),
        pytest.param(
            pod(seccomp=OUT, annotations={OLD: "runtime/default"}), {}, "", id="the old one, too"
        ),
        pytest.param(
            pod(
                container("app"),
                container("side"),
                seccomp=OUT,
                annotations={f"{OLD_OF}side": "runtime/default"},
            ),
            {f"{OWN}.app": "unconfined"},
            "app",
            id="the author's annotation for one container",
        ),
        pytest.param(
            pod(container("app", OUT), annotations={f"{OWN}.app": "runtime-default"}),
            {},
            "",
            id="the author's annotation for the container that asks",
        ),
        pytest.param(pod(seccomp=OUT, annotations=MIRROR), {}, "", id="a mirror of a static pod"),
        pytest.param(pod(os={"name": "windows"}), {}, "", id="Windows"),
        pytest.param(
            pod(os={"name": "linux"}, seccomp=OUT), {OWN: "unconfined"}, "app", id="Linux"
        ),
    ],
)
def test_an_explicit_unconfined_reaches_the_node(
    stamping: Policies, found: Json, stamped: Json, unconfined: str
) -> None:
    assert not left(found)  # without us, nobody behind the kubelet can tell
    after = stamping.admit(Request(found, labels=ALLOWED))
    assert written(after) == {**written(found), **stamped}
    assert left(after) == set(unconfined.split())
    assert _without_annotations(after) == _without_annotations(found)
    assert stamping.admit(Request(found)) == found  # not where the namespace may not


@pytest.mark.parametrize("key", [OWN, f"{OWN}.app"])
def test_what_already_opts_out_stays_as_it_is(stamping: Policies, key: str) -> None:
    found = pod(container("app", OUT), annotations={key: "unconfined"})
    assert stamping.admit(Request(found, labels=ALLOWED)) == found
    assert left(found) == {"app"}


def test_an_ephemeral_container_is_covered_by_its_pods_stamp_only(stamping: Policies) -> None:
    """The API server drops annotations of such an update, so that nothing could be stamped."""
    debug = {"ephemeralContainers": [container("debug", OUT)]}
    for seccomp, unconfined in ((OUT, {"app", "debug"}), ("", set())):
        before = stamping.admit(Request(pod(seccomp=seccomp), labels=ALLOWED))
        after = {**before, "spec": {**before["spec"], **debug}}
        way = Request(after, before, "UPDATE", "pods/ephemeralcontainers", labels=ALLOWED)
        assert stamping.admit(way) == after
        assert left(after) == unconfined


def test_an_update_is_not_stamped(stamping: Policies) -> None:
    found = pod(seccomp=OUT)
    assert stamping.admit(Request(found, found, "UPDATE", labels=ALLOWED)) == found


@pytest.mark.parametrize(
    ("granted", "stamped"), [("team/builder", {OWN: "unconfined"}), ("other/builder", {}), ("", {})]
)
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
