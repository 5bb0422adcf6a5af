"""Collecting the facts about this node that the policy's compiler needs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from runc_wrap.engines.capture import capture_store
from runc_wrap.node import abi_probe, installed_programs, seccomp_features
from runc_wrap.policy.compiler_facts import Facts
from runc_wrap.policy.settings import policy_sources
from runc_wrap.profiles import platform
from runc_wrap.profiles.json_profiles import profile_files

if TYPE_CHECKING:
    from runc_wrap.node.paths import Places


def gather(places: Places, runtimes: list[str] | None) -> Facts:
    """Return the facts; `runtimes` are those that the owner wrote, None if nothing is written.

    Raises ProfileError, RuntimeNotUsable.
    """
    names = installed_programs.default_runtimes(places.runtime) if runtimes is None else runtimes
    runtime = installed_programs.find_runtime(names)
    can = seccomp_features.of(runtime)
    return Facts(
        runtime_path=str(runtime.path),
        runtime_kind=runtime.kind,
        runtime_version=runtime.version,
        arch=platform.goarch(),
        kernel=platform.kernel(),
        engines=installed_programs.engine_versions(),
        own_profiles=policy_sources.read_profiles(*places.sources()),
        system_profile=profile_files.system(),
        captured=capture_store.read(places),
        flags=can.flags,
        actions=can.actions,
        logged="log" in can.logged,
        errors_logged="errno" in can.logged,
        abis=abi_probe.runnable(platform.goarch()),
        listener=str(places.notify),
        now=dt.datetime.now(dt.UTC),
    )


def of_engines() -> Facts:
    """Return the facts that the engines' default profiles depend on, without a runtime's.

    Raises ProfileError.
    """
    return Facts(
        runtime_path="",
        runtime_kind="",
        runtime_version="",
        arch=platform.goarch(),
        kernel=platform.kernel(),
        engines=installed_programs.engine_versions(),
        system_profile=profile_files.system(),
    )
