"""The features of the installed runtime and this kernel that a policy requires."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from runc_wrap.hotpath.decision import AUDIT, ENFORCE_LOG, OBSERVE, RECORDING
from runc_wrap.policy import candidate_settings
from runc_wrap.policy.compiler_facts import Facts
from runc_wrap.policy.settings import schema
from runc_wrap.policy.settings.schema import placing
from runc_wrap.profiles import syscall_names
from runc_wrap.profiles.mode_profiles import modes
from runc_wrap.profiles.runtime_spec_names import LOG, NOTIFY
from runc_wrap.profiles.source_profile import Profile

_SUN_PATH = 107  # bytes, unix(7)


def problems(values: Mapping[str, Any], used: Collection[str], facts: Facts) -> Iterator[str]:
    """Yield each feature that a mode needs and this node lacks, with what to use instead."""
    runtime = f"{facts.runtime_kind} {facts.runtime_version}"
    if ENFORCE_LOG in used and modes.LOG_FLAG not in facts.flags:
        yield (
            f"{_where(values, ENFORCE_LOG)}the mode enforce-log needs a runtime and a kernel "
            f"that support the flag {modes.LOG_FLAG}; {runtime} with this kernel does not. Use "
            'audit, or install runc 1.2 or later, or crun (runtime = ["crun"]).'
        )
    for where, what in _logging(values, used) if LOG not in facts.actions else ():
        yield (
            f"{where}{what} needs the action {LOG}, which {runtime} or this kernel does not "
            "support (Linux 4.14, libseccomp 2.4). Use enforce, without a candidate."
        )

    recording = _recording(values)
    if OBSERVE in used:
        yield from _problems_of_asking(_where(values, OBSERVE), "observe", "use audit", facts)
    elif recording:
        yield from _problems_of_asking(recording[0][0], "record", "leave record out", facts)
    for where, mode in recording:
        if mode not in RECORDING:
            yield (
                f"{where}record needs the mode {' or '.join(RECORDING)}, and here the mode is "
                f"{mode}. Change the mode, or leave record out."
            )


def _logging(values: Mapping[str, Any], used: Collection[str]) -> list[tuple[str, str]]:
    """Return the places of what the kernel has to log without a denial, and what that is."""
    audit = [(_where(values, AUDIT), "the mode audit")] if AUDIT in used else []
    return [*audit, *candidate_settings.logging(values)]


def _recording(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the place of each `record = true`, and the mode there."""
    recording = [one for one in schema.deciding_tables(values) if one.written.get("record")]
    return [(one.place("record"), one.effective["mode"]) for one in recording]


def _problems_of_asking(where: str, name: str, instead: str, facts: Facts) -> Iterator[str]:
    """Yield what a setting that asks the agent needs and this node lacks."""
    needs = f"{where}{name} needs"
    if not {NOTIFY, LOG} <= facts.actions:
        yield (
            f"{needs} the action {NOTIFY}, which {facts.runtime_kind} {facts.runtime_version} or "
            f"this kernel does not support (Linux 5.7, libseccomp 2.5); {instead}."
        )
    if syscall_names.known_to_libseccomp([]) is None:
        yield (
            f"{needs} libseccomp for the names of calls, and it is not installed. Install "
            f"libseccomp2, or {instead}."
        )
    if len(facts.listener.encode()) > _SUN_PATH:
        yield (
            f"{needs} the socket {facts.listener}, whose path is too long for a socket "
            f"({_SUN_PATH} bytes). Install to a shorter prefix, or {instead}."
        )


def _where(values: Mapping[str, Any], mode: str) -> str:
    """Return the place of the first setting that selects a mode."""
    place = placing(values)
    for number, rule in enumerate(values[schema.RULES]):
        if rule.get("mode") == mode:
            return place(schema.RULES, number, "mode")
    if mode == AUDIT and AUDIT not in (values["default.mode"], values["default.privileged"]):
        return _where(values, OBSERVE)  # whose fallback it is
    setting = "default.mode" if values["default.mode"] == mode else "default.privileged"
    return place(setting)


def remarks(
    values: Mapping[str, Any], used: Collection[str], sources: Mapping[str, Profile], facts: Facts
) -> Iterator[str]:
    """Yield the settings that have less effect on this node than they appear to."""
    for where, what in _logging(values, used) if not facts.logged else ():
        yield (
            f"warning: {where}this kernel logs nothing of {what}: "
            "kernel.seccomp.actions_logged lacks log; add it by sysctl."
        )
    if ENFORCE_LOG in used and not facts.errors_logged:
        yield (
            f"warning: {_where(values, ENFORCE_LOG)}this kernel logs no denials in the mode "
            "enforce-log: kernel.seccomp.actions_logged lacks errno; add it by sysctl."
        )
    asking = [where for where, _ in _recording(values)]
    if asking:
        yield f"note: {asking[0]}{modes.RECORD_COST}"
    if OBSERVE in used:
        asking = [_where(values, OBSERVE)]
    if asking and modes.KILLABLE_FLAG not in facts.flags:
        yield (
            f"note: {asking[0]}a signal whose handler lacks SA_RESTART ends a "
            f"call that waits for the agent with EINTR: {facts.runtime_kind} "
            f"{facts.runtime_version} or this kernel does not support {modes.KILLABLE_FLAG}, with "
            "which this can happen only until the agent has received the call; for programs that "
            "cannot handle that, use audit without record, or crun, or runc 1.5, on Linux 5.19."
        )
    if values["default.abis"] == "kernel" and facts.abis is None:
        yield (
            f"warning: {placing(values)('default.abis')}could not determine which ABIs this kernel "
            "runs; profiles keep those that they list."
        )
    if AUDIT in used:
        yield from _unseen(values, sources, facts)


def _unseen(
    values: Mapping[str, Any], sources: Mapping[str, Profile], facts: Facts
) -> Iterator[str]:
    """Yield the ABIs whose calls an enforced profile kills and audit does not log."""
    for name, profile in sources.items() if facts.abis is not None else ():
        narrow = values["default.abis"] == "native"
        kept = modes.with_abis(profile, facts.arch, ()) if narrow else profile
        if out := modes.left_out(kept, facts.arch, facts.abis or ()):
            yield (
                f"note: profile {name}: enforce kills callers through {', '.join(out)}; audit "
                "permits these calls, and logs only those whose names the profile does not allow."
            )
