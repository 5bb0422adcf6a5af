"""Admission policies as an API server runs them, by Google's CEL, and pods to try them with.

    components -> kubectl kustomize -> Policies -> admit(Request) -> the object, or Denied

What CEL leaves to its host is here, by the API server's own rules: which requests a policy is asked
about, that a variable has the type of its expression, that a mutation is a list of JSONPatch, what
`authorizer` answers. Variables are evaluated even if nothing asks for them, so that an error in one
cannot hide (k8s.io/apiserver/pkg/admission/plugin/policy).
"""

import copy
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jsonpatch
from cel_expr_python import cel
from cel_expr_python.ext import ext_optional
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, struct_pb2

from runc_wrap.hotpath import decision
from runc_wrap.hotpath.argv import Invocation
from runc_wrap.hotpath.create_facts import Call, CreateFacts
from runc_wrap.hotpath.errors import Refusal
from tests.kubernetes import rendered as kustomized

Json = dict[str, Any]

COMPONENTS = sorted(
    path.parent.name for path in kustomized.DIRECTORY.glob("admission/*/kustomization.yaml")
)
_DYN = cel.Type.DYN
_GIVEN = ("object", "oldObject", "request", "namespaceObject", "authorizer")
_JSON_PATCHES = "LIST<JSONPatch>"


class DeniedError(Exception):
    """A policy's validation refuses the request."""


@dataclass
class Request:
    """One request to the API server; `resource` with its subresource, as rules have it."""

    object: Json
    old: Json | None = None
    operation: str = "CREATE"
    resource: str = "pods"
    groups: tuple[str, ...] = ("system:authenticated",)
    labels: Json = field(default_factory=dict)  # of the namespace
    granted: frozenset[str] = frozenset()  # service accounts that may use seccompoptouts
    namespace: str = "team"

    def variables(self) -> Json:
        """Return what an expression may use. What is empty is left out, as the API server does."""
        name, _, subresource = self.resource.partition("/")
        request = {
            "operation": self.operation,
            "kind": {"group": "", "version": "v1", "kind": self.object["kind"]},
            "resource": {"group": "", "version": "v1", "resource": name},
            "namespace": self.namespace,
            "userInfo": {"username": "someone", **({"groups": self.groups} if self.groups else {})},
            **({"subResource": subresource} if subresource else {}),
        }
        labels = {"labels": self.labels} if self.labels else {}
        return {
            "object": self.object,
            "oldObject": self.old,
            "request": {**request, "userInfo": _lists(request["userInfo"])},
            "namespaceObject": {"metadata": {"name": self.namespace, **labels}},
            "authorizer": {"granted": sorted(self.granted)},
        }


def _lists(values: Any) -> Json:
    return {key: list(one) if isinstance(one, tuple) else one for key, one in values.items()}


@cache
def rendered(*components: str, overlay: str = "", **more: str) -> tuple[Json, ...]:
    """Return the documents of these components, as kubectl renders them.

    `more` are fields of the kustomization, such as another namespace; `overlay` is one of ours.
    """
    names = [f"admission/{name}" for name in components]
    with tempfile.TemporaryDirectory() as place:
        given = [overlay] if overlay else []
        made = kustomized.own(Path(place), *given, components=names, **more)
        return tuple(kustomized.objects(made))


class Policies:
    """The policies of some components, in force together."""

    def __init__(self, *components: str, **more: str) -> None:
        """Compile every expression, with types. Raises RuntimeError if one does not compile.

        `more` as of `rendered`.
        """
        documents = rendered(*components, **more)
        kinds = ("MutatingAdmissionPolicy", "ValidatingAdmissionPolicy")
        self._all = [
            _Policy(document, _binding(documents, document["metadata"]["name"]))
            for kind in kinds  # an API server mutates before it validates
            for document in documents
            if document["kind"] == kind
        ]

    def admit(self, request: Request) -> Json:
        """Return the object as it is stored. Raises DeniedError."""
        now = copy.copy(request)
        for policy in self._all:
            now.object = policy.admit(now)
        return now.object


def _binding(documents: tuple[Json, ...], policy: str) -> Json:
    specs: list[Json] = [one.get("spec", {}) for one in documents]
    (found,) = [spec for spec in specs if spec.get("policyName") == policy]
    return found


class _Policy:
    def __init__(self, document: Json, binding: Json) -> None:
        self._spec: Json = document["spec"]
        assert self._spec["failurePolicy"] == "Fail"  # so an error would refuse: here it is raised
        self._selector = binding.get("matchResources", {}).get("namespaceSelector", {})
        types = dict.fromkeys(_GIVEN, _DYN)
        conditions = self._spec.get("matchConditions", [])
        self._conditions = [_compiled(one["expression"], types, "BOOL") for one in conditions]
        self._variables = []
        for one in self._spec.get("variables", []):
            expression = _compiled(one["expression"], types)
            name = f"variables.{one['name']}"
            self._variables.append((name, expression))
            types[name] = expression.return_type()
        self._validations = [
            (_compiled(one["expression"], types, "BOOL"), self._message(one, types))
            for one in self._spec.get("validations", [])
        ]
        self._mutations = [
            _compiled(one["jsonPatch"]["expression"], types, _JSON_PATCHES)
            for one in self._spec.get("mutations", [])
        ]

    @staticmethod
    def _message(validation: Json, types: dict[str, cel.Type]) -> cel.Expression:
        return _compiled(validation["messageExpression"], types, "STRING")

    def admit(self, request: Request) -> Json:
        """Return the object, patched if this policy mutates. Raises DeniedError."""
        known = request.variables()
        if not (self._is_asked(request) and all(_value(one, known) for one in self._conditions)):
            return request.object
        for name, expression in self._variables:
            known[name] = _value(expression, known)
        for validation, message in self._validations:
            if not _value(validation, known):
                raise DeniedError(_value(message, known))
        found = request.object
        for mutation in self._mutations:
            patch = [json_format.MessageToDict(one) for one in _value(mutation, known)]
            found = jsonpatch.apply_patch(found, patch)
        return found

    def _is_asked(self, request: Request) -> bool:
        name, _, subresource = request.resource.partition("/")
        any_of = {request.resource, f"{name}/*"} if subresource else {name}
        return _selects(self._selector, request.labels) and any(
            request.operation in rule["operations"] and any_of & set(rule["resources"])
            for rule in self._spec["matchConstraints"]["resourceRules"]
        )


def _selects(selector: Json, labels: Json) -> bool:
    assert set(selector) <= {"matchExpressions"}
    wanted = selector.get("matchExpressions", [])
    assert all(one["operator"] == "Exists" for one in wanted)
    return all(one["key"] in labels for one in wanted)


def _compiled(text: str, types: dict[str, cel.Type], wanted: str = "") -> cel.Expression:
    extensions = [ext_optional.ExtOptional(), _of_kubernetes()]
    env = cel.NewEnv(descriptor_pool=_pool(), variables=types, extensions=extensions)
    expression = env.compile(text)
    found = expression.return_type().name()
    assert not wanted or found == wanted, f"{text} is a {found}, not a {wanted}"
    return expression


def _value(expression: cel.Expression, known: Json) -> Any:
    found = expression.eval(data=known)
    assert found.type() != cel.Type.ERROR, found.plain_value()
    return found.plain_value()


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """Return the type JSONPatch; `value` takes any JSON value."""
    file = descriptor_pb2.FileDescriptorProto(name="jsonpatch.proto", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    message = file.message_type.add(name="JSONPatch")
    for number, name in enumerate(("op", "path", "from"), 1):
        message.field.add(name=name, number=number, type=9, label=1)
    message.field.add(name="value", number=4, type=11, label=1, type_name=".google.protobuf.Value")
    struct = descriptor_pb2.FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(struct)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(struct)
    pool.Add(file)
    return pool


@cache
def _of_kubernetes() -> cel.CelExtension:
    """Return the API server's functions that the policies use."""

    def member(name: str, result: cel.Type, more: int, do: Any) -> cel.FunctionDecl:
        parameters = [_DYN, *[cel.Type.STRING] * more]
        overload = cel.Overload(
            name, return_type=result, parameters=parameters, is_member=True, impl=do
        )
        return cel.FunctionDecl(name, [overload])

    def part(key: str) -> Any:
        return lambda check, value: {**check, key: value}

    escape = cel.Overload(
        "escapeKey", return_type=cel.Type.STRING, parameters=[cel.Type.STRING], impl=_escaped
    )
    functions = [
        cel.FunctionDecl("jsonpatch.escapeKey", [escape]),
        member("serviceAccount", _DYN, 2, lambda who, ns, name: {**who, "account": f"{ns}/{name}"}),
        *[member(name, _DYN, 1, part(name)) for name in ("group", "resource", "namespace")],
        member("check", _DYN, 1, part("verb")),
        member("allowed", cel.Type.BOOL, 0, _is_allowed),
    ]
    return cel.CelExtension("kubernetes", functions)


def _escaped(key: str) -> str:
    """RFC 6901, section 3."""
    return key.replace("~", "~0").replace("/", "~1")


def _is_allowed(check: Json) -> bool:
    """Return whether the account is granted what opt-out-by-right's role grants, in its namespace.

    A RoleBinding grants it in one namespace only.
    """
    namespace, _, _ = check["account"].partition("/")
    asked = {key: check.get(key) for key in ("group", "resource", "namespace", "verb")}
    role = {"group": "runc-wrap.dev", "resource": "seccompoptouts", "verb": "use"}
    return asked == {**role, "namespace": namespace} and check["account"] in check["granted"]


OWN = "runc-wrap/seccomp"
OLD = "seccomp.security.alpha.kubernetes.io/pod"
OLD_OF = "container.seccomp.security.alpha.kubernetes.io/"
MIRROR = {"kubernetes.io/config.mirror": "0123"}
LONGEST = "a" * 63  # of a container's name
_SHIM = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
_DEFAULT = "containerd@2.2.0"
_BROUGHT = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}
_POLICY: Any = {
    "default": {"profile": "runtime-default", "mode": "enforce"},
    "privileged": "leave",
    "opt_out": {"annotations": True, "namespaces": ["*"], "images": ["*"]},
    "rules": [],
    "overlay": None,
    "runtime_default": {"containerd": _DEFAULT},
}


def container(name: str = "app", seccomp: str = "", **more: Any) -> Json:
    """Return a container; `seccomp` is its own seccompProfile.type."""
    return {"name": name, "image": "registry/image", **_security(seccomp), **more}


def pod(*containers: Json, seccomp: str = "", annotations: Json | None = None, **spec: Any) -> Json:
    """Return a Pod. Without `annotations` it has no such map."""
    metadata: Json = {"name": "pod", "namespace": "team"}
    if annotations is not None:
        metadata["annotations"] = annotations
    listed = list(containers or (container(),))
    whole = {"containers": listed, **_security(seccomp), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}


def binding(annotations: Json | None = None) -> Json:
    """Return a Binding, which a scheduler creates, and whose annotations its pod gets."""
    metadata = {"name": "pod", **({} if annotations is None else {"annotations": annotations})}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": {"name": "n"}}


def _security(seccomp: str) -> Json:
    return {"securityContext": {"seccompProfile": {"type": seccomp}}} if seccomp else {}


def written(found: Json) -> Json:
    """Return an object's annotations, {} for none."""
    of: Json = found["metadata"].get("annotations", {})
    return of


def each_container(found: Json) -> list[Json]:
    """Return all containers of a pod."""
    kinds = ("containers", "initContainers", "ephemeralContainers")
    return [one for kind in kinds for one in found["spec"].get(kind, [])]


def left(found: Json) -> set[str]:
    """Return the names of the containers that run without a filter."""
    each = each_container(found)
    return {one["name"] for one in each if decided(found, one).action == "leave"}


def escaping(found: Json) -> set[str]:
    """Return the names of the containers that get less than the default, on crun.

    crun has one way more than runc. What is refused does not run.
    """
    return {one["name"] for one in each_container(found) if _escapes(found, one)}


def _escapes(found: Json, of: Json) -> bool:
    try:
        reached = decided(found, of, "crun")
    except Refusal:
        return False
    is_default = reached.declared == decision.OWN_PROFILE or reached.profile == _DEFAULT
    return not is_default


def decided(found: Json, of: Json, kind: str = "runc") -> decision.Decision:
    """Return the decision about a container that containerd creates, with the sandbox as it is.

    Raises Refusal.
    """
    cri = {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": of["name"],
        "io.kubernetes.cri.sandbox-namespace": "team",
        "io.kubernetes.cri.sandbox-id": "S1",
    }
    asked = _type(of) or _type(found["spec"])
    brought = {} if asked in ("", "Unconfined") else {"seccomp": _BROUGHT}
    config = {"annotations": {**written(found), **cri}, "linux": brought}
    called = Invocation("create", {"bundle": f"{_SHIM}/C1"}, "C1")
    call = Call(called, kind, "/bin/runc-wrap", lambda: frozenset({"CAP_SYS_ADMIN"}))
    facts = CreateFacts(config, call, "", lambda _bundle, _sandbox: written(found))
    return decision.decide(facts, _POLICY, 0)


def _type(of: Json) -> str:
    kind: str = of.get("securityContext", {}).get("seccompProfile", {}).get("type", "")
    return kind
