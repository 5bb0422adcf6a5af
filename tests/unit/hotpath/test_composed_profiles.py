"""Which profile a container gets of one that is composed on its engine's default."""

from typing import Any

import pytest

from runc_wrap.hotpath.decision import profile_of

ON = {"containerd": "x on containerd@2.1.0", "docker": "x on moby@29.0.0"}
POLICY: Any = {"runtime_default": {"containerd": "c", "docker": "m"}, "composed": {"x": ON}}
OLDER: Any = {"runtime_default": {"docker": "m"}}  # a policy without composed profiles


@pytest.mark.parametrize(
    ("policy", "name", "engine", "profile"),
    [
        (POLICY, "x", "docker", "x on moby@29.0.0"),
        (POLICY, "x", "containerd", "x on containerd@2.1.0"),
        (POLICY, "runtime-default", "docker", "m"),
        (POLICY, "localhost/own.json", "docker", "localhost/own.json"),
        (OLDER, "x", "docker", "x"),
    ],
)
def test_it_is_the_one_on_the_default_of_the_engine_that_calls(
    policy: Any, name: str, engine: str, profile: str
) -> None:
    assert profile_of(name, engine, policy) == profile
