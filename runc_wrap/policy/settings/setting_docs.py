"""What each setting means, for `runc-wrapctl policy reference`. Text only; facts were tested."""

from __future__ import annotations

from runc_wrap.profiles.never_asked import BASE

_GLOB = "`*` matches any characters (`/` too), `?` matches one, all others match themselves."

MEANINGS = {
    "runtime": (
        "The real runtime: the first one found. Names are looked up in a fixed path. If this is "
        "not set, the kind in force (runc or crun) comes first, so that installing the other one "
        "does not switch to it. `apply` refuses to change the kind while containers of the old one "
        "exist, unless given `--force`: the new one cannot manage them."
    ),
    "on_error": "What a create does when it cannot be decided or carried out.",
    "restore": (
        "What happens to a container that is restored from a checkpoint although its profile must "
        "be enforced (`enforce`, `enforce-log`). CRIU gives its processes the filters that they "
        "were dumped with, whatever the config says, and who made the dump may have had none. "
        "`refuse`: it does not start, whatever `on_error` says. `as-dumped`: it starts, and the "
        "ledger says that nothing is enforced; `verify` checks it like any other. In `audit` and "
        "`observe` it starts in any case, and its workload's verdict is unknown. Processes that "
        "are exec'd into it later get the profile under runc, and none under crun (1.21)."
    ),
    "default.profile": "The profile of a container that neither has nor requests one.",
    "default.mode": (
        "How the profile is applied unless a rule says otherwise. `enforce`: unchanged. "
        "`enforce-log`: unchanged, and the kernel logs every denial (needs crun, or runc 1.2 or "
        "later). `audit`: every call is let through, and those that the profile would have denied "
        "are logged, whether it denies them with an error, a kill or a trap. `off`: the config is "
        "left unchanged. `observe`: every call is let through, but those that the profile would "
        "have denied go to the agent first, which records them with their arguments; a container "
        "created while no agent listens gets `audit`.\n\n"
        "`audit` lists all ABIs of the machine, because a filter kills a thread that calls through "
        "an unlisted one. So a call that the profile allows by name is not logged, although "
        "`enforce` would kill its caller for the ABI alone. runc adds nothing to an audit profile: "
        "a call newer than the profile, which runc would answer with ENOSYS, is let through and "
        "logged.\n\n"
        "`observe` is exact where `audit` depends on what the kernel logs: which process made the "
        "call, which clone flags or socket family. Each such call waits for the agent's answer. "
        "Calls that libseccomp has no name for, and the few calls that a runtime itself needs "
        "after it has loaded the filter, are logged as in `audit`. A container in `observe` cannot "
        "have its own seccomp listener (EBUSY). A signal restarts a call that waits for the agent, "
        "or ends it with EINTR if the signal's handler lacks SA_RESTART; where runtime and kernel "
        "support SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (crun, runc 1.5 or later, Linux 5.19), "
        "only until the agent has received the call."
    ),
    "default.abis": (
        "The ABIs through which a container may make system calls. `engine`: those that the "
        "profile lists. `kernel`: those of them that this kernel can run. `native`: only the "
        "machine's own. Fewer ABIs mean a smaller filter and a faster start.\n\n"
        "A call through an ABI that is left out kills the calling thread with SIGSYS, under runc "
        "and crun, even if the profile's default action is to allow: a 32-bit program does not "
        "start (`native` on x86_64), and a program that tries an x32 call number dies, where with "
        "x32 listed it would have got an error (ENOSYS from the kernel, runc's stub or the "
        "profile). `audit` leaves out no ABI."
    ),
    "default.int_arguments": (
        "How the profile compares arguments that the kernel takes as `int`, or as another type "
        "narrower than the register. `kernel`: only the bits that the kernel uses. `engine`: as "
        "the rules are written; runtimes compile them to 64-bit comparisons.\n\n"
        "With `engine`, a program bypasses a rule that allows all but one number, or denies one, "
        "by setting upper bits of the register. `ioctl` with TIOCSTI bypassed two sandboxes in "
        "this way (CVE-2019-10063, CVE-2019-7303). With `kernel`, these rules differ from the "
        "engine's only for calls with upper bits set: what was meant to be denied is denied, what "
        "was meant to be allowed is allowed (`personality(-1)`, whose sign fills the upper half). "
        "No other program can notice a difference. `explain` and `apply --diff` name the calls.\n\n"
        "The setting applies to every profile that runc-wrap injects, your own included, in every "
        "mode; a profile that a container brings is not changed. A call whose rules contradict "
        "each other stays as written; `apply` names it."
    ),
    "default.privileged": (
        "What happens to a privileged container, which Kubernetes promises to leave unconfined. "
        "`leave`: nothing. `audit`: it gets the default profile in mode `audit`. `confine`: it is "
        "treated like any other."
    ),
    "default.adopt": (
        "Whether a container whose config brings its engine's own default profile is treated as if "
        "it brought none. Kubernetes' RuntimeDefault and seccompDefault bring that profile, and so "
        "does every container of Docker and Podman; without `adopt` it is kept, and no rule, mode "
        "or annotation reaches the container. A profile counts as the engine's default if it is "
        "the same, call by call, as what this engine's version applies on this kernel and machine "
        "to a container with these capabilities; one that differs in one call is the container's "
        "own, and is kept.\n\n"
        '`"runtime-default"`: only what lets through no call that the engine\'s default denies '
        "takes its place: the modes `enforce` and `enforce-log` with that profile or a stricter "
        "one, and with both the overlay. Everything else (`audit`, `observe`, `off`, an annotation "
        "that opts out, a profile that lets more through) leaves the engine's default in place; "
        "`apply` refuses it where it is written beside `adopt`, and names the calls. "
        '`"runtime-default, also weaker"`: that too takes its place; an opt-out that counts, and '
        "`off`, take the filter away. A privileged container keeps the engine's default under "
        '`privileged = "leave"`, and what `privileged` says otherwise counts as a mode.'
    ),
    "default.record": (
        "Whether the agent is also asked about calls that the profile allows, so that "
        "`runc-wrapctl suggest --recorded` can print a profile that allows what the workload was "
        "seen to use. The profile stays in force: what it denies stays denied. Needs the mode "
        "`enforce` or `observe`, and the agent; without an agent the container starts, and nothing "
        "is recorded.\n\n"
        "Each such call waits for the agent's answer, up to 2,000 a second of one container; "
        "beyond that its calls wait. The agent is not asked about the calls below: runtimes make "
        "them between loading a filter and starting the program, or programs make them too often "
        "or always. They are never missing in the printed profile, if the profile in force allows "
        "them, whether or not the workload makes them.\n\n"
        f"Not asked about: {', '.join(f'`{name}`' for name in sorted(BASE))}.\n\n"
        "Arguments are kept for the calls whose arguments profiles check; the printed profile "
        "limits those of socket, socketpair, personality, keyctl, bpf and ptrace to the "
        "first arguments that were seen. As in `observe`, a container that is recorded cannot have "
        "its own seccomp listener (EBUSY), and its calls may end with EINTR."
    ),
    "default.candidate": (
        "A profile to look at beside the one in force, such as the default of an engine's next "
        "release (`containerd@2.3`). The profile stays enforced; calls that it lets through and "
        "the candidate would deny are let through and logged, and `report --candidate` says for "
        "each workload what enforcing the candidate would break. In `observe`, too, the profile is "
        "enforced then, and those calls go to the agent, with their arguments; a container created "
        "while no agent listens gets `enforce`. It needs one of the modes `enforce`, `enforce-log` "
        "and `observe`.\n\n"
        "It is looked at for containers that get this profile: not for one whose annotation asks "
        "for another, and not under a rule with a profile of its own, unless that rule names a "
        "candidate. `apply` proves for each call that the filter denies exactly what the profile "
        "denies; a call for which that fails keeps its rules, and `apply` and the report name it "
        "as not previewed. A program that hands a call to its own tracer or listener hides it, as "
        "in `audit`."
    ),
    "runtime_default.engine": (
        "Which engine's default profile `runtime-default` is: the calling engine's, or always this "
        "one's."
    ),
    "runtime_default.source": (
        "Where an engine's default profile comes from, if its version is `auto`. `table`: the "
        "built-in profile of its version. `captured`: what `runc-wrapctl profile capture` found "
        "this node's engine to apply; `apply` refuses if an installed engine is not captured, or "
        "if since then the engine, its files or the kernel's version has changed. Until the next "
        "`apply` the profiles in force stay. An engine with a version of its own below is not "
        "affected."
    ),
    "runtime_default.containerd": (
        "Which containerd's default profile: `auto` takes the installed version's."
    ),
    "runtime_default.docker": "Which Docker Engine's default profile.",
    "runtime_default.crio": "Which CRI-O's default profile.",
    "runtime_default.containers_common": (
        "Podman's and Buildah's default. `system`: this node's seccomp.json, which they also read. "
        "`builtin`: the profile of the containers/common that the installed Podman or Buildah is "
        "built with, or the newest if none is installed. `auto`: `system` if that file exists, "
        "otherwise `builtin`. (A version here is containers/common's, not Podman's.)"
    ),
    "opt_out.annotations": (
        "Whether annotations count at all: those that opt out, and those that request a profile."
    ),
    "opt_out.namespaces": (
        "In which Kubernetes namespaces they count; an empty list: in none. If an engine does not "
        f"report the namespace in a way that a pod cannot forge, only `*` matches. {_GLOB}"
    ),
    "opt_out.images": (
        f"For which images they count, likewise. A pod's sandbox has no image. {_GLOB}"
    ),
    "opt_out.late": (
        "What happens to an annotation that was added to a pod, or changed, after its sandbox was "
        "created. containerd gives every new container (a restarted one, `kubectl debug`'s) the "
        "current annotations of its pod, although whoever may change those can no longer change "
        "the pod's `seccompProfile`. `ignore`: the annotations that the sandbox was created with "
        "count, according to its `config.json` beside the container's; if that cannot be read, no "
        "annotation counts. `honour`: the pod's current annotations count. With either, a removed "
        "annotation no longer counts.\n\n"
        "Use `honour` for ephemeral containers, which cannot have their own annotations and whose "
        "pod can seldom have one for them from the start; the alternative is a privileged one "
        "(`kubectl debug --profile=sysadmin`). It also helps with pods older than the engine's "
        "`pod_annotations`, whose sandboxes lack the annotations; it is better to recreate them."
    ),
    "overlay.deny": (
        "System calls denied in every container that runc-wrap gives a profile, whatever the "
        "profile and in every mode but `off`: they are denied in `audit` too. The call fails with "
        "EPERM (clone3 with ENOSYS, so that libc falls back to clone; socketcall and ipc with "
        "ENOSYS if the profile's default is EPERM). If the profile already denies it, whatever the "
        "arguments, that denial stays. Containers that opted out are not affected. Running "
        "containers keep the filter they started with, until `runc-wrapctl tighten --overlay` "
        "adds the denials.\n\n"
        "`apply` names the other calls that have the same effect and stay allowed by the profiles "
        "in force (mount: fsopen, move_mount; ptrace: process_vm_writev), for which containers, "
        "and what to write. On x86_64 Linux lets uretprobe (since 6.14, 6.13.3, 6.12.14) and "
        "uprobe (since 6.18, 6.12.57) through every filter; they work only where the kernel put "
        "them."
    ),
    "overlay.deny_sockets": (
        "Socket families denied likewise, for socket(2) and socketpair(2), with EPERM. The family "
        "is compared as the kernel does, by the lower 32 bits of the argument. Families unknown "
        "to Linux 6.18 (46 and above) get the profile's default action; if the profile's rules "
        "contradict each other about a family, a denial wins. In a profile that does not name "
        "socketcall, it is denied.\n\n"
        "A 32-bit program on x86 may use socketcall(2), whose family no filter can check. To "
        'prevent that, set `abis = "native"`, or add `socketcall` to `deny`; `apply` says where it '
        "is still allowed. io_uring creates sockets too: see `io_uring`."
    ),
    "overlay.io_uring": (
        "io_uring performs some seventy system calls (splice, openat, socket), and no filter "
        "checks them. `deny`: if one of these calls is in `deny`, or a family is in "
        "`deny_sockets`, io_uring_setup, io_uring_enter and io_uring_register are denied too, so "
        "that a container can neither create a ring nor use one that another process passes to it. "
        "`allow`: the profile decides about them, and they can bypass the overlay."
    ),
    "overlay.existing": (
        "Whether the overlay also applies to profiles that containers bring themselves (an "
        "engine's own default, a Localhost profile)."
    ),
    "rule.name": "The rule's name in decisions and the ledger. Every rule has one.",
    "rule.namespace": f"Matches containers in these Kubernetes namespaces. {_GLOB}",
    "rule.pod": "Matches pods with these names.",
    "rule.container": "Matches containers with these names within their pod.",
    "rule.image": "Matches these images, as the engine writes them.",
    "rule.engine": "Matches containers that these engines create.",
    "rule.handler": (
        "Matches containers whose runtime was called by one of these names; `engine add --handler "
        "NAME` registers one."
    ),
    "rule.mode": "Like `default.mode`, which applies if this is left out.",
    "rule.profile": "Like `default.profile`, which applies if this is left out.",
    "rule.adopt": "Like `default.adopt`, which applies if this is left out.",
    "rule.record": "Like `default.record`, which applies if this is left out.",
    "rule.candidate": (
        "Like `default.candidate`, which applies if this is left out and the rule has neither a "
        "profile nor a mode without candidates (`audit`, `off`) of its own."
    ),
    "rule.percent": (
        "The percentage of matching containers that the rule applies to. The draw depends on the "
        "names of the rule and the container (namespace and name), so a restart does not draw "
        "again. The others go on to the next rule."
    ),
    "rule.until": (
        "The rule applies until the end of this day (UTC), or until this time; then it is skipped."
    ),
}
