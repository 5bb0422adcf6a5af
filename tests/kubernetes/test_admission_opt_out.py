"""Who may opt out of the node's default: the policies opt-out-by-label and opt-out-by-right."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runc_wrap.hotpath.annotations import CRUN_BPF_KEY, PODMAN_KEY
from tests.kubernetes.admission import (
    MIRROR,
    OLD,
    OLD_OF,
    OWN,
    DeniedError,
    Json,
    Policies,
    Request,
    binding,
    container,
    escaping,
    left,
    pod,
    written,
)

ALLOWED = {"runc-wrap.dev/opt-out": "allowed"}
OUT = {OWN: "unconfined"}
NODES = ("system:nodes", "system:authenticated")
WINDOWS: Json = {"os": {"name": "windows"}}
DEBUG = [container("debug")]
VARIANTS = ("opt-out-by-label", "opt-out-by-right")


@pytest.fixture(scope="session", params=VARIANTS)
def either(request: pytest.FixtureRequest) -> Policies:
    """Either policy; in neither has anybody been allowed anything."""
    return Policies(request.param)


def _is_admitted(policies: Policies, request: Request) -> bool:
    try:
        assert policies.admit(request) == request.object
    except DeniedError:
        return False
    return True


OF_EACH = [f"{OWN}.{name}" for name in ("app", "init", "debug")]
ASKING = [
    *((key, "unconfined") for key in (OWN, *OF_EACH, OLD, f"{OLD_OF}app", PODMAN_KEY)),
    *((key, "localhost/wider.json") for key in (OWN, OLD)),
    *((CRUN_BPF_KEY, value) for value in ("AAAA", "runtime-default")),
]


@pytest.mark.parametrize("asking", [{key: value} for key, value in ASKING], ids=map(str, ASKING))
def test_what_asks_for_another_profile_is_refused_by_every_way_into_a_pod(
    either: Policies, asking: Json
) -> None:
    both: Json = {
        "initContainers": [container("init")],
        "ephemeralContainers": [container("debug")],
    }
    whole, before = pod(annotations=asking, **both), pod(**both)
    assert escaping(whole)
    assert not escaping(before)
    assert not _is_admitted(either, Request(whole))
    for resource in ("pods", "pods/status", "pods/resize", "pods/ephemeralcontainers"):
        assert not _is_admitted(either, Request(whole, before, "UPDATE", resource)), resource
    for resource in ("pods/binding", "bindings"):
        assert not _is_admitted(either, Request(binding(asking), None, "CREATE", resource)), (
            resource
        )
        assert _is_admitted(either, Request(binding(), None, "CREATE", resource)), resource


HARMLESS = [
    pytest.param(pod(), id="no annotation map"),
    pytest.param(pod(annotations={}), id="an empty one"),
    pytest.param(pod(annotations={"a/b": "unconfined"}), id="other keys"),
    pytest.param(pod(annotations={OWN: "runtime-default"}), id="the default by our key"),
    pytest.param(pod(annotations={OLD: "runtime/default"}), id="by the old one"),
    pytest.param(pod(annotations={f"{OLD_OF}app": "docker/default"}), id="by the oldest value"),
    pytest.param(pod(initContainers=[container("init")]), id="an init container"),
    pytest.param(pod(ephemeralContainers=DEBUG), id="an ephemeral container"),
    pytest.param(pod(**WINDOWS), id="Windows"),
    pytest.param(pod(serviceAccountName="builder"), id="a service account"),
    pytest.param(pod(seccomp="Unconfined"), id="an explicit Unconfined, which has no effect"),
]


@pytest.mark.parametrize("harmless", HARMLESS)
def test_what_asks_nothing_is_admitted_however_it_comes(either: Policies, harmless: Json) -> None:
    assert not left(harmless)
    assert _is_admitted(either, Request(harmless))
    assert _is_admitted(either, Request(harmless, groups=()))
    for resource in ("pods", "pods/status", "pods/ephemeralcontainers"):
        for old in (pod(), pod(annotations=OUT), harmless):
            assert _is_admitted(either, Request(harmless, old, "UPDATE", resource))


UPDATES = [
    pytest.param(OUT, OUT, True, id="as it was: it can still be changed otherwise and deleted"),
    pytest.param(OUT, {**OUT, "a/b": "c"}, True, id="with another annotation"),
    pytest.param(OUT, {}, True, id="taken back"),
    pytest.param(OUT, None, True, id="the map taken away"),
    pytest.param(OUT, {OWN: "runtime-default"}, True, id="the default instead"),
    pytest.param(OUT, {OWN: "localhost/x"}, False, id="another value"),
    pytest.param(OUT, {f"{OWN}.app": "unconfined"}, False, id="another key"),
    pytest.param(OUT, {**OUT, OLD: "unconfined"}, False, id="one more key"),
    pytest.param(
        {**OUT, f"{OWN}.app": "runtime-default"}, OUT, False, id="what confines one taken away"
    ),
    pytest.param({OWN: ""}, OUT, False, id="an empty value before"),
    pytest.param({f"{OWN}.app": ""}, OUT, False, id="another empty value before"),
    pytest.param(None, OUT, False, id="no map before"),
    pytest.param(None, {OWN: ""}, False, id="an empty value where there was none"),
]


@pytest.mark.parametrize(("old", "new", "is_admitted"), UPDATES)
def test_an_update_keeps_all_or_leaves_no_opt_out(
    either: Policies, old: Json | None, new: Json | None, *, is_admitted: bool
) -> None:
    for resource in ("pods", "pods/status"):
        request = Request(pod(annotations=new), pod(annotations=old), "UPDATE", resource)
        assert _is_admitted(either, request) is is_admitted


_OF_ONE = [f"{prefix}{name}" for prefix in (f"{OWN}.", OLD_OF) for name in ("app", "init", "debug")]
_KEYS = st.sampled_from([OWN, OLD, *_OF_ONE, PODMAN_KEY, CRUN_BPF_KEY, "runc-wrap/other", *MIRROR])
_VALUES = st.sampled_from(
    ["unconfined", "runtime-default", "runtime/default", "docker/default", "localhost/x", "", "X"]
)
_MAPS = st.none() | st.dictionaries(_KEYS, _VALUES, max_size=4)
_TYPES = st.sampled_from(["", "Unconfined", "RuntimeDefault", "Localhost"])


@st.composite
def _pods(draw: st.DrawFn) -> Json:
    spec: Json = {"seccomp": draw(_TYPES)}
    for kind, name in (("initContainers", "init"), ("ephemeralContainers", "debug")):
        if draw(st.booleans()):
            spec[kind] = [container(name, draw(_TYPES))]
    if draw(st.booleans()):
        spec["hostUsers"] = draw(st.booleans())
    return pod(container("app", draw(_TYPES)), annotations=draw(_MAPS), **spec)


def _with(found: Json, new: Json | None) -> Json:
    metadata = {key: value for key, value in found["metadata"].items() if key != "annotations"}
    return {**found, "metadata": metadata | ({} if new is None else {"annotations": new})}


@given(before=_pods(), new=_MAPS, by_node=st.booleans(), way=st.sampled_from(
    ["pods", "pods/status", "pods/resize", "pods/ephemeralcontainers", "pods/binding", "bindings",
     "create"]))  # fmt: skip
def test_nothing_admitted_takes_a_container_out_of_the_default(
    either: Policies, before: Json, new: Json | None, by_node: bool, way: str
) -> None:
    """By whatever way: each container that escapes afterwards did so before."""
    groups = NODES if by_node else ("system:authenticated",)
    if way == "create":
        assume(not (by_node and MIRROR.keys() & (new or {})))  # a static pod runs in any case
        after = _with(before, new)
        request = Request(after, None, "CREATE", groups=groups)
        before = _with(before, None)
    elif way.endswith(("binding", "bindings")):
        assume(_is_admitted(either, Request(before)))
        request = Request(binding(new), None, "CREATE", way, groups)
        after = _with(before, {**written(before), **(new or {})})
    else:
        after = _with(before, new)
        request = Request(after, before, "UPDATE", way, groups)
    if _is_admitted(either, request):
        assert escaping(after) <= escaping(before)


def test_a_kubelets_mirror_is_admitted_and_nobody_elses() -> None:
    policies = Policies("opt-out-by-label")
    mirror = pod(annotations={**OUT, **MIRROR}, nodeName="n")
    assert _is_admitted(policies, Request(mirror, groups=NODES))
    assert not _is_admitted(policies, Request(mirror))
    assert not _is_admitted(policies, Request(mirror, groups=()))
    assert not _is_admitted(policies, Request(pod(annotations=OUT), groups=NODES))
    bound = binding({**OUT, **MIRROR})
    assert not _is_admitted(policies, Request(bound, None, "CREATE", "pods/binding", NODES))
    assert not _is_admitted(policies, Request(mirror, pod(), "UPDATE", groups=NODES))


LABELS = [
    (ALLOWED, True),
    ({**ALLOWED, "a": "b"}, True),
    ({"runc-wrap.dev/opt-out": "true"}, False),
    ({"runc-wrap.dev/opt-out": ""}, False),
    ({"a": "b"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("labels", "is_admitted"), LABELS)
def test_a_label_of_the_namespace_allows_it(labels: Json, *, is_admitted: bool) -> None:
    policies = Policies("opt-out-by-label")
    out = pod(annotations=OUT)
    for request in (
        Request(out, labels=labels),
        Request(out, pod(), "UPDATE", labels=labels),
        Request(out, pod(), "UPDATE", "pods/status", labels=labels),
        Request(binding(OUT), None, "CREATE", "pods/binding", labels=labels),
    ):
        assert _is_admitted(policies, request) is is_admitted


GRANTS = [
    pytest.param({}, "team/default", True, id="by the default account"),
    pytest.param({"serviceAccountName": "builder"}, "team/builder", True, id="by its own"),
    pytest.param({"serviceAccountName": "builder"}, "team/default", False, id="by another's"),
    pytest.param({"serviceAccountName": "builder"}, "other/builder", False, id="elsewhere"),
    pytest.param({}, "", False, id="by nobody's"),
]


@pytest.mark.parametrize(("spec", "granted", "is_admitted"), GRANTS)
def test_a_right_of_the_pods_service_account_allows_it(
    spec: Json, granted: str, *, is_admitted: bool
) -> None:
    policies = Policies("opt-out-by-right")
    right: Any = {"granted": frozenset({granted}), "labels": ALLOWED}  # labels count no more
    out = pod(annotations=OUT, **spec)
    assert _is_admitted(policies, Request(out, **right)) is is_admitted
    assert _is_admitted(policies, Request(out, pod(**spec), "UPDATE", **right)) is is_admitted
    bound = Request(binding(OUT), None, "CREATE", "pods/binding", **right)
    assert not _is_admitted(policies, bound)


ADVICE = [
    ("opt-out-by-label", "label the namespace runc-wrap.dev/opt-out=allowed"),
    ("opt-out-by-right", "bind the role runc-wrap-seccomp-opt-out to it"),
]


@pytest.mark.parametrize(("variant", "advice"), ADVICE)
def test_a_refusal_names_the_annotation_and_what_to_try(variant: str, advice: str) -> None:
    with pytest.raises(DeniedError) as refused:
        Policies(variant).admit(Request(pod(annotations={"a": "b", f"{OWN}.app": "unconfined"})))
    assert str(refused.value).startswith(
        f"the annotation {OWN}.app asks for another seccomp profile"
    )
    assert "team" in str(refused.value)
    assert str(refused.value).endswith(advice)
