# Tells whether an engine's configuration, a task of containerd, a container in our ledger or a
# process still names a runtime in our bin.
is_called() {
    bin=/usr/lib/runc-wrap/bin
    grep -rqsF $bin/ /etc/containerd /etc/docker /etc/containers /etc/crio && return
    for state in /run/containerd /run/docker/containerd/daemon /run/k3s/containerd; do
        grep -qsF $bin/ $state/io.containerd.runtime.v2.task/*/*/runtime && return
    done
    sed -n 's/.*"id":"\([^"\\/]*\)".*"root":"\([^"\\]*\)".*/\2\/\1/p' \
        /var/lib/runc-wrap/ledger/*.jsonl 2>/dev/null | sort -u |
        while read -r container; do [ ! -d "$container" ] || echo called; done | grep -q called &&
        return
    for process in /proc/[0-9]*; do
        { tr '\0' '\n' < "$process/cmdline"; } 2>/dev/null | grep -q "^$bin/" && return
    done
    return 1
}
