"""What compiling a policy needs to know of the node, and the error of what cannot be compiled."""

import datetime as dt
from dataclasses import dataclass, field

from runc_wrap.failure import Failure
from runc_wrap.profiles.captured_profile import CapturedProfile
from runc_wrap.profiles.runtime_spec_names import ACTIONS


class PolicyError(Failure):
    """The policy cannot be put in force; the message has one line for each problem."""


@dataclass(frozen=True)
class Facts:
    """Facts about this node: everything that compiling needs apart from the owner's settings.

    `engines` is {engine: installed version}; `own_profiles` is {path below the profile directory:
    a file's bytes}; `system_profile` is (path, bytes) of containers-common's seccomp.json, if it
    exists; `captured` is {engine: its own default profile as captured}; `arch` is a GOARCH;
    `kernel` is (major, minor). `flags` and `actions` are those that runtime and kernel both
    support. `logged`: the kernel logs SCMP_ACT_LOG; `errors_logged`: it logs errors if a filter's
    flag requests that. `abis` are those that the kernel runs, None if unknown; `listener` is the
    agent's socket for runtimes; `now` is the time of compiling.
    """

    runtime_path: str
    runtime_kind: str
    runtime_version: str
    arch: str
    kernel: tuple[int, int]
    engines: dict[str, str] = field(default_factory=dict)
    own_profiles: dict[str, bytes] = field(default_factory=dict)
    system_profile: tuple[str, bytes] | None = None
    captured: dict[str, CapturedProfile] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    actions: frozenset[str] = ACTIONS
    logged: bool = True
    errors_logged: bool = True
    abis: frozenset[str] | None = None
    listener: str = ""
    now: dt.datetime = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
