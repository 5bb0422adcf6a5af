"""Profiles from hypothesis: OCI blocks, and conditions on capabilities."""

from typing import Any

from hypothesis import strategies as st

from runc_wrap.profiles import runtime_spec_names as spec

NAMES = ["read", "write", "openat", "clone", "clone3", "socket", "mount", "bpf"]

# a small alphabet: the whole of Unicode takes a second to prepare
texts = st.text("aZ_/.\u00e9\u4e2d\U0001f4e6\x00", max_size=12)
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)
caps = st.lists(st.sampled_from(sorted(spec.CAPABILITIES)), max_size=3, unique=True)
bounding = st.frozensets(st.sampled_from(sorted(spec.CAPABILITIES)))
actions = st.sampled_from(sorted(spec.ACTIONS - {spec.NOTIFY}))

_uint64 = st.integers(0, 2**64 - 1)
_arguments = st.fixed_dictionaries(
    {"index": st.integers(0, 5), "value": _uint64, "op": st.sampled_from(sorted(spec.OPERATORS))},
    optional={"valueTwo": st.integers(1, 2**64 - 1)},
)


@st.composite
def oci_rules(draw: st.DrawFn) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": draw(names), "action": draw(actions)}
    if rule["action"] in spec.ACTIONS_WITH_ERRNO and draw(st.booleans()):
        rule["errnoRet"] = draw(st.integers(0, 4094))
    if args := draw(st.lists(_arguments, max_size=3)):
        rule["args"] = args
    return rule


@st.composite
def oci_blocks(draw: st.DrawFn) -> dict[str, Any]:
    block: dict[str, Any] = {"defaultAction": draw(actions)}
    if block["defaultAction"] in spec.ACTIONS_WITH_ERRNO and draw(st.booleans()):
        block["defaultErrnoRet"] = draw(st.integers(0, 4094))
    if architectures := draw(st.lists(st.sampled_from(sorted(spec.ARCHITECTURES)), max_size=3)):
        block["architectures"] = architectures
    if draw(st.booleans()):
        block["flags"] = draw(st.lists(st.sampled_from(sorted(spec.FLAGS)), max_size=2))
    if draw(st.booleans()):
        block["listenerPath"] = draw(texts)
    block["syscalls"] = draw(st.lists(oci_rules(), max_size=5))
    return block


@st.composite
def moby_profiles(draw: st.DrawFn) -> dict[str, Any]:
    """Profiles that only allow, each rule with capabilities that it includes or excludes."""
    rules = [
        {
            "names": draw(names),
            "action": "SCMP_ACT_ALLOW",
            "includes": {"caps": draw(caps)},
            "excludes": {"caps": draw(st.just([]) | caps)},
        }
        for _ in range(draw(st.integers(0, 5)))
    ]
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
