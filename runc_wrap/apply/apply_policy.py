"""What `apply` does: gathers this node's facts, checks the policy's sources, puts them in force."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from runc_wrap.apply import candidate_profiles
from runc_wrap.apply.policy_proof import Prover
from runc_wrap.engines import stale_features
from runc_wrap.engines.capture import capture_store
from runc_wrap.filters.kernel import libseccomp_version
from runc_wrap.hotpath import json_codec
from runc_wrap.ledger import whole_ledger
from runc_wrap.node import abi_probe, installed_programs, runtime_loader, seccomp_features
from runc_wrap.node.container_state import kept_defaults
from runc_wrap.node.paths import Places
from runc_wrap.policy import adoption, policy_compiler, policy_lint, policy_store
from runc_wrap.policy.compiler_facts import Facts
from runc_wrap.policy.named_profiles import is_owners
from runc_wrap.policy.policy_compiler import Compiled
from runc_wrap.policy.settings import policy_sources, rule_checks, schema, settings_reader
from runc_wrap.policy.settings.settings_reader import Values
from runc_wrap.profiles import platform
from runc_wrap.profiles.json_profiles import profile_files


def check(places: Places) -> tuple[Compiled, list[str]]:
    """Return the compiled policy and remarks for the owner. Raises Failure and OSError."""
    return _checked(places)[:2]


def _checked(places: Places, seen: object = None) -> tuple[Compiled, list[str], Prover, str]:
    """Return the policy and remarks, what proved it, and the digest of its inputs.

    It is the one in force if that has these inputs, which include what was `seen` of the sources.
    """
    values = settings_reader.read(*places.sources())
    node = gather_facts(places, values.written("runtime"))
    prover = Prover(places, node)
    inputs = _inputs(values, node, prover.by, seen)
    compiled = policy_store.in_force(places.current, inputs) if seen is not None else None
    if compiled is None:
        compiled = prover.settle(policy_compiler.compile_policy(values, node))
        compiled = candidate_profiles.settle(compiled, node, prover)
        compiled = adoption.settle(compiled, values, node, partial(prover.remembered, list[str]))
        remarks = *compiled.remarks, *policy_lint.check(compiled, values, node)
        compiled = replace(compiled, remarks=remarks)
    return compiled, [*compiled.remarks, *_other_library(compiled, node)], prover, inputs


def _inputs(values: Values, node: Facts, by: bytes, seen: object) -> str:
    """Return the digest of all that a policy is compiled from.

    Of the time it matters only which rules have ended.
    """
    facts = {k: sorted(v) if isinstance(v, frozenset) else v for k, v in vars(node).items()}
    facts["now"] = [*rule_checks.remarks(values[schema.RULES], values.place, node.now)]
    return json_codec.digest(repr((by, values, values.places, facts, seen)).encode())


def _other_library(compiled: Compiled, node: Facts) -> Iterator[str]:
    """Yield that what is written here was proved with another libseccomp than the runtime's."""
    ours, theirs = libseccomp_version.loaded(), runtime_loader.libseccomp(Path(node.runtime_path))
    if ours and theirs and theirs != ours[0] and any(map(is_owners, compiled.sources)):
        yield (
            f"note: {node.runtime_kind} has libseccomp {theirs}, and this program {ours[0]}, by "
            "which it proves profiles: compare arguments of your own for equality or by masks."
        )


def gather_facts(places: Places, runtimes: list[str] | None) -> Facts:
    """Return the facts; `runtimes` are those that the owner wrote, None if nothing is written.

    Raises ProfileError, RuntimeNotUsable.
    """
    names = installed_programs.default_runtimes(places.runtime) if runtimes is None else runtimes
    runtime = installed_programs.find_runtime(names)
    can = seccomp_features.of(runtime)
    return replace(
        facts_of_engines(),
        runtime_path=str(runtime.path),
        runtime_kind=runtime.kind,
        runtime_version=runtime.version,
        own_profiles=policy_sources.read_profiles(*places.sources()),
        captured=capture_store.read(places),
        flags=can.flags,
        actions=can.actions,
        logged="log" in can.logged,
        errors_logged="errno" in can.logged,
        abis=abi_probe.runnable(platform.goarch()),
        listener=str(places.notify),
        now=dt.datetime.now(dt.UTC),
    )


def facts_of_engines() -> Facts:
    """Return the facts that the engines' default profiles depend on, without a runtime's.

    Raises ProfileError.
    """
    engines, system = installed_programs.engine_versions(), profile_files.system()
    return Facts("", "", "", platform.goarch(), platform.kernel(), engines, system_profile=system)


def notes(places: Places, compiled: Compiled) -> list[str]:
    """Return what else is remarked: files that are not read, and how many defaults are kept."""
    unread = policy_sources.replaced(*places.sources())
    why = f"is not read: the cluster's policy has such a file, too; write {places.config}"
    return [*(f"note: {path} {why}." for path in unread), *_kept_defaults(places, compiled)]


def _kept_defaults(places: Places, compiled: Compiled) -> list[str]:
    try:
        records = whole_ledger.read(places.ledger).records.values()
    except OSError:  # `status` reports it
        return []
    found = kept_defaults.counted(records, kept_defaults.of_compiled(compiled))
    return [f"note: {kept_defaults.sentence(found, compiled.policy)}."] if found else []


def put_in_force(places: Places, *, orphans: bool = False) -> tuple[Compiled, list[str]]:
    """Check, then switch to the compiled policy; return what `check` does, and raise the same.

    `orphans`: switch between runc and crun even if containers of the other exist.
    """
    seen = policy_sources.snapshot(*places.sources())
    compiled, remarks, prover, inputs = _checked(places, seen)
    if not orphans:
        installed_programs.check_switch(places, compiled.policy["runtime"]["kind"])
    policy_store.put_in_force(compiled, places.prefix, seen, inputs)
    prover.remember()
    return compiled, [*remarks, *stale_features.remarks(places)]
