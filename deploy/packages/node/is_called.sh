# Tells whether a process names a runtime in our bin, among its first words. Any user's process can
# delay that, with words in memory that is slow to read, or by its number: so it ends after 20
# seconds, and what is not known by then counts as called.
names_process() {
    status=0
    timeout -s KILL "${1:-20}" sh -c '
        for process in /proc/[0-9]*; do
            head -c 65536 "$process/cmdline" 2>/dev/null | tr "\0" "\n" | grep -q "^$0/" && exit
        done
        exit 1' /usr/lib/runc-wrap/bin || status=$?
    [ $status -ne 1 ]
}

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
    names_process
}
