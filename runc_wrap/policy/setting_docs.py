"""What each setting means, for `runc-wrapctl policy reference`. Text only; facts were tried."""

_GLOB = "`*` is any run of characters (`/` too), `?` is one, all else is itself."

MEANINGS = {
    "runtime": (
        "The real runtime: the first that is found. Names are looked up in a fixed path. Where "
        "nothing is written, the kind in force (runc or crun) comes first, so that installing "
        "another does not switch. `apply` refuses to change the kind while containers that the "
        "one before made are there, unless told `--force`: the other cannot manage them."
    ),
    "on_error": "What a create does when it cannot be decided or carried out.",
    "default.profile": "The profile of a container that brings none and asks for none.",
    "default.mode": (
        "How the profile is applied where no rule says otherwise. `enforce`: as it is. "
        "`enforce-log`: as it is, and the kernel logs every denial (needs crun, or runc 1.2 or "
        "later). `audit`: every call is let through, and those that the profile would have denied "
        "are logged, whichever way it denies them (error numbers, kills and traps). `off`: the "
        "config is left alone. `observe`: every call is let through, and those that the profile "
        "would have denied are sent to the agent first, which records them with their arguments; "
        "where no agent listens when a container is created, it gets `audit`.\n\n"
        "`audit` lists all ABIs of the machine, since a filter kills whoever calls through one "
        "that is not listed; a call that the profile allows by name is then not logged, though "
        "under `enforce` its ABI alone would have it killed. runc adds nothing to an audit "
        "profile: a call newer than the profile, which runc would answer with ENOSYS, is let "
        "through and logged.\n\n"
        "`observe` is exact where `audit` depends on what the kernel logs: whose call it was, "
        "which clone flags or socket family. Each such call waits for the agent's answer. What "
        "libseccomp has no name for, and the few calls that a runtime itself needs once the filter "
        "is loaded, are logged as in `audit`. A container in `observe` cannot have a seccomp "
        "listener of its own (EBUSY). A signal that interrupts a call which waits for the agent "
        "restarts it, or ends it with EINTR where its handler lacks SA_RESTART; where runtime and "
        "kernel take SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (crun, runc 1.5 or later, Linux 5.19) "
        "only until the agent has received it."
    ),
    "default.abis": (
        "Through which ABIs a container may make system calls. `engine`: those that the profile "
        "lists. `kernel`: of these, those that this kernel can run. `native`: only the machine's "
        "own. Fewer ABIs mean a smaller filter and a faster start.\n\n"
        "A call through an ABI left out kills the thread that makes it with SIGSYS, under runc "
        "and crun alike, even where the profile's default action is to allow: a 32-bit program "
        "does not start (`native` on x86_64), and a program that tries an x32 call number dies, "
        "where it would have seen an error with x32 listed (ENOSYS from the kernel, runc's stub or "
        "the profile). In `audit` nothing is left out."
    ),
    "default.int_arguments": (
        "How the profile compares arguments that the kernel takes as `int`, or as another type "
        "narrower than the register. `kernel`: the bits that the kernel takes, no others. "
        "`engine`: as the rules are written, of which runtimes make comparisons of 64 bits.\n\n"
        "With `engine` a rule that allows all but one number, or denies one, is passed by a "
        "program that sets upper bits of the register, as `ioctl` with TIOCSTI once passed two "
        "sandboxes (CVE-2019-10063, CVE-2019-7303). With `kernel` these rules are written "
        "otherwise than the engine's, and differ for calls with upper bits set only: what was "
        "meant to be denied is denied, what was meant to be allowed is allowed "
        "(`personality(-1)`, whose sign fills the upper half). No other program can notice. "
        "`explain` and `apply --diff` name the calls.\n\n"
        "Both hold for every profile that runc-wrap puts in, your own too, in every mode; a block "
        "that a container brings is not changed. A call whose rules contradict each other stays as "
        "it is; `apply` names it."
    ),
    "default.privileged": (
        "What happens to a privileged container, which Kubernetes promises to leave unconfined. "
        "`leave`: nothing. `audit`: the default profile in mode `audit`. `confine`: as any other."
    ),
    "runtime_default.engine": (
        "Whose default `runtime-default` is: the calling engine's, or always this one's."
    ),
    "runtime_default.containerd": (
        "Which containerd's default profile: the installed one's, or this version's."
    ),
    "runtime_default.docker": "Which Docker Engine's default profile.",
    "runtime_default.crio": "Which CRI-O's default profile.",
    "runtime_default.containers_common": (
        "Podman's and Buildah's default. `system`: this node's seccomp.json, which they read "
        "themselves. `builtin`: the profile of the containers/common that the installed Podman or "
        "Buildah is built with, the newest if none is installed. `auto`: `system` if there is such "
        "a file, else `builtin`. (A version here is containers/common's, not Podman's.)"
    ),
    "opt_out.annotations": (
        "Whether annotations count at all: those that opt out, and those that ask for a profile."
    ),
    "opt_out.namespaces": (
        "In which Kubernetes namespaces they count; an empty list: in none. Where an engine does "
        f"not tell the namespace so that nobody can forge it, only `*` matches. {_GLOB}"
    ),
    "opt_out.images": (
        f"For which images they count, likewise. A pod's sandbox has no image of its own. {_GLOB}"
    ),
    "opt_out.late": (
        "What becomes of an annotation that a pod has got, or that got another value, after its "
        "sandbox was made. containerd hands every new container (a restarted one, `kubectl "
        "debug`'s) the annotations that its pod has by then, though who may change those could "
        "not change the pod's `seccompProfile` any more. `ignore`: what the sandbox was made with "
        "counts, as its `config.json` beside the container's says; where that cannot be read, no "
        "annotation counts. An annotation that was taken away counts no more either way. "
        "`honour`: what the pod has now counts.\n\n"
        "`honour` is for ephemeral containers, which can be given no annotation of their own and "
        "whose pod can seldom have one for them from the start; the other way is a privileged one "
        "(`kubectl debug --profile=sysadmin`). It is also for pods older than the engine's "
        "`pod_annotations`, whose sandboxes do not know their annotations: make those anew."
    ),
    "overlay.deny": (
        "System calls denied in every container that runc-wrap gives a profile, whatever the "
        "profile and in every mode but `off`: `audit` too denies what stands here. The call fails "
        "with EPERM (clone3 with ENOSYS, so that libc falls back to clone; socketcall and ipc with "
        "ENOSYS where the profile's default is EPERM); where the profile denies it already, "
        "whatever the arguments, it stays so. What was opted out is not touched. "
        "Running containers keep what they started with.\n\n"
        "`apply` names the other calls that do the same and stay open in the profiles in force "
        "(mount: fsopen, move_mount; ptrace: process_vm_writev), for which containers, and what to "
        "write. On x86_64 Linux lets uretprobe (since 6.14, 6.13.3, 6.12.14) and uprobe (since "
        "6.18, 6.12.57) through every filter; they work only where the kernel put them."
    ),
    "overlay.deny_sockets": (
        "Socket families denied likewise, for socket(2) and socketpair(2), with EPERM. The family "
        "is compared as the kernel takes it, the lower 32 bits of the argument. Families unknown "
        "to Linux 6.18 (46 and above) get the profile's default action; where rules of the profile "
        "contradict each other about a family, a denial wins. A profile that does not name "
        "socketcall has it denied.\n\n"
        "A 32-bit program on x86 may use socketcall(2), whose family no filter can see: `abis = "
        '"native"` closes that, or add `socketcall` to `deny`; `apply` says where it is open. '
        "io_uring makes sockets too: see `io_uring`."
    ),
    "overlay.io_uring": (
        "io_uring does what some seventy system calls do (splice, openat, socket), and a filter "
        "sees none of it. `deny`: with the first of these calls in `deny`, or a family in "
        "`deny_sockets`, io_uring_setup, io_uring_enter and io_uring_register are denied too, so "
        "that no ring is made and none that another process hands over is used. `allow`: they stay "
        "as the profile has them, and with them the way around."
    ),
    "overlay.existing": (
        "Whether the overlay is put on profiles too that containers bring themselves (an engine's "
        "own default, a Localhost profile)."
    ),
    "rule.name": "What the rule is called in decisions and the ledger. Every rule has one.",
    "rule.namespace": f"Holds for these Kubernetes namespaces. {_GLOB}",
    "rule.pod": "Holds for pods of these names.",
    "rule.container": "Holds for containers of these names within their pod.",
    "rule.image": "Holds for these images, as the engine writes them.",
    "rule.engine": "Holds for what these engines create.",
    "rule.handler": (
        "Holds where the runtime was called by one of these names: `engine add --handler NAME` "
        "registers one."
    ),
    "rule.mode": "As `default.mode`, which holds if this is left out.",
    "rule.profile": "As `default.profile`, which holds if this is left out.",
    "rule.percent": (
        "For how many of a hundred containers that it selects the rule holds. The draw is by the "
        "rule's name and the container's (namespace and name), so a restart does not draw again. "
        "The others go on to the next rule."
    ),
    "rule.until": (
        "The rule holds to the end of this day (UTC), or to this time; then it is passed over."
    ),
}
