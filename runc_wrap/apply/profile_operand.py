"""What a person may name where a profile is asked for, and what that is on this node.

runtime-default    the default in force of the engine that is asked about
containerd@2.1     a built-in, captured or composed profile, or localhost/<file>
./file.json  -     a file, or stdin
container:ID       the filters that a running container's first process has, from the kernel
"""

import sys

from runc_wrap.engines.capture import capture_store
from runc_wrap.filters.evaluate import bpf
from runc_wrap.filters.evaluate.libseccomp_input import Loader
from runc_wrap.filters.kernel import filter_readback, ptrace
from runc_wrap.filters.profile_difference import ProcessFilters, Side
from runc_wrap.host import procfs
from runc_wrap.hotpath import policy_file
from runc_wrap.hotpath.annotations import LOCALHOST, RUNTIME_DEFAULT
from runc_wrap.hotpath.compiled_policy import CompiledProfile
from runc_wrap.hotpath.privileged import CAPABILITIES
from runc_wrap.hotpath.rule_algebra import DENYING, SOCKETS
from runc_wrap.node import abi_probe, installed_programs, runtime_loader
from runc_wrap.node.container_state import container_status
from runc_wrap.node.container_state.container_status import Entry
from runc_wrap.node.paths import Places
from runc_wrap.policy import named_profiles, overlay_settings, policy_compiler
from runc_wrap.policy.compiler_facts import Facts
from runc_wrap.policy.settings import policy_sources, settings_reader
from runc_wrap.profiles import (
    abis,
    actions,
    builtin,
    captured_profile,
    platform,
    profile_compiler,
    syscall_names,
)
from runc_wrap.profiles.composition import composed_profile
from runc_wrap.profiles.composition.composed_profile import Composed
from runc_wrap.profiles.json_profiles import profile_files, profile_parser
from runc_wrap.profiles.json_profiles.strict_json import MAX_BYTES
from runc_wrap.profiles.profile_compiler import compile_profile
from runc_wrap.profiles.runtime_spec_names import OCI
from runc_wrap.profiles.source_profile import Profile, ProfileError, Rule

CONTAINER = "container:"
STDIN = "-"
_OVERLAY = "overlay"


def read_stdin(*names: str) -> bytes:
    """Return what stdin holds, as far as a profile may be long, if a name stands for it."""
    return sys.stdin.buffer.read(MAX_BYTES + 1) if STDIN in names else b""


def sides(places: Places, names: tuple[str, str], engine: str) -> list[Side]:
    """Return what two names stand for, to be compared. Raises ProfileError, Refusal and OSError.

    A profile beside a container that runc-wrap gave one is as this node would put it in force.
    """
    stdin = read_stdin(*names)
    containers = {
        name: _entry(places, name.removeprefix(CONTAINER))
        for name in names
        if name.startswith(CONTAINER)
    }
    applied = any(one.record and one.record.is_injected for one in containers.values())
    values = settings_reader.read(*places.sources()) if applied else {}

    def side(name: str) -> Side:
        if name in containers:
            return _filters_of(containers[name])
        found = profile(places, name, engine, stdin).profile
        one = policy_compiler.compared(found, values).profile if applied else found
        return compile_profile(one, arch=platform.goarch(), kernel=platform.kernel())

    return [side(name) for name in names]


def loader(places: Places) -> Loader:
    """Return how the runtime in force loads a profile."""
    kind = installed_programs.kind_in_force(places.runtime) or ""
    return runtime_loader.of(places.prefix, kind)


def enforced(places: Places, found: Profile, arch: str) -> CompiledProfile:
    """Return a profile as the node's policy would enforce it. Raises PolicyError and OSError."""
    values = settings_reader.read(*places.sources())
    runnable = abi_probe.runnable(arch) if arch == platform.goarch() else None
    facts = Facts("", "", "", arch, platform.kernel(), abis=runnable)
    return policy_compiler.enforced(found, values, facts)


def answers(
    places: Places, found: Composed, caps: frozenset[str], arch: str
) -> dict[str, list[str]]:
    """Return {call: the parts that decide about it in such a container}, for every known call.

    Raises PolicyError and OSError.
    """

    def holds(rule: Rule) -> bool:
        has = caps.issuperset(rule.includes.caps) and caps.isdisjoint(rule.excludes.caps)
        return has and profile_compiler.holds(rule, arch, platform.kernel())

    source = found.profile
    rules = [one for one in source.rules if holds(one)]
    ruled = {name for one in rules for name in one.names}
    whole = {name for one in rules if not one.compares for name in one.names}
    known = [
        one for abi in abis.runnable(abis.of_oci(OCI[arch])) for one in syscall_names.numbers(abi)
    ]
    more = [*source.rules, *(part.rule for part in found.parts)]
    calls = sorted({*known, *(name for one in more for name in one.names)})
    default = actions.describe(actions.code(source.default_action, source.default_errno_ret))
    answers = {call: found.answers(call, holds) for call in calls}
    for call, parts in answers.items():
        if parts == [found.base] and call not in ruled:
            parts.clear()
        if not parts or call in ruled - whole:
            parts.append(f"{found.base}: its default action {default}")
    _put_overlay(places, answers, [one for one in rules if not actions.is_default(one, source)])
    return answers


def _put_overlay(places: Places, answers: dict[str, list[str]], rules: list[Rule]) -> None:
    """Write the policy's overlay where it decides; a profile's own denial stays (hotpath)."""
    over = overlay_settings.overlay(settings_reader.read(*places.sources()))
    if not over:
        return
    whole = [one for one in rules if not one.args]
    denied = {name for one in whole if one.action in DENYING for name in one.names}
    answers.update({call: [_OVERLAY] for call in over["deny"] if call not in denied})
    if over["deny_sockets"]:
        for call in {*SOCKETS} - denied - {*over["deny"]}:
            answers[call] = [*answers[call], _OVERLAY]
        if not any("socketcall" in one.names for one in whole):
            answers["socketcall"] = [_OVERLAY]


def profile(places: Places, name: str, engine: str, stdin: bytes = b"") -> Composed:
    """Return the profile that a name stands for. Raises ProfileError, Refusal and OSError."""
    if name == STDIN:
        return _of_bytes(places, "stdin", engine, stdin)
    if not (name.startswith(LOCALHOST) or composed_profile.is_composed(name)):
        if "/" in name:
            return _of_bytes(places, name, engine, profile_files.read_bytes(name))
        if name.endswith(".json"):
            raise ProfileError(
                f"write ./{name} for a file, or {LOCALHOST}{name} for the node's own"
            )
    return _named(places, name, engine)


def _named(places: Places, name: str, engine: str, by: str = "") -> Composed:
    builtin.check_known(name)
    own = policy_sources.read_profiles(*places.sources())
    captured = capture_store.read(places) if captured_profile.MARK in name else {}
    if name == RUNTIME_DEFAULT or named_profiles.is_on_default(name, own):
        default = policy_file.load(str(places.prefix))["runtime_default"][engine]
        name = default if name == RUNTIME_DEFAULT else f"{name}{named_profiles.ON}{default}"
        captured = captured or capture_store.read(places)
    return named_profiles.loaded(name, own, profile_files.system(), captured, by)


def _of_bytes(places: Places, name: str, engine: str, data: bytes) -> Composed:
    if not composed_profile.has_base(data, name):
        return Composed(profile_parser.parse(data, name), name)
    what = composed_profile.parse_file(data, name)
    return composed_profile.made(name, what, lambda other: _named(places, other, engine, name))


def _entry(places: Places, wanted: str) -> Entry:
    """Return the container whose id begins so and that runs. Raises ProfileError for no such."""
    entries = container_status.gather(places.ledger).entries
    found = [
        one for one in entries if one.members and wanted and one.container.id.startswith(wanted)
    ]
    if len(found) != 1:
        many = f"{len(found) or 'no'} running containers have an id that begins with {wanted!a}"
        raise ProfileError(f"{many}; `runc-wrapctl status` lists them")
    return found[0]


def _filters_of(entry: Entry) -> ProcessFilters:
    """Return the filters of a container's first process. Raises ProfileError."""
    pid = entry.members[0].pid
    mask = int(procfs.status(pid).get(b"CapBnd", b"0"), 16)
    try:
        programs = tuple(map(bpf.program, filter_readback.read(pid)))
    except (ptrace.FiltersUnreadableError, bpf.BpfError) as error:
        raise ProfileError(f"the filters of the process {pid} cannot be read: {error}") from error
    held = frozenset(name for bit, name in enumerate(CAPABILITIES) if mask >> bit & 1)
    return ProcessFilters(programs, held)
