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

# Tells whether Podman has a container of root's, also a stopped one, that it was told to start by a
# path of ours. Podman is not asked where root never used it: it would make its storage. It
# gets nothing of the caller's environment.
names_podman() {
    storage=/var/lib/containers/storage
    [ -e $storage/db.sql ] || [ -e $storage/libpod ] || return 1
    timeout -s KILL 60 env -i HOME=/nonexistent \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c '
        podman ps --all --quiet --no-trunc |
            xargs -r podman inspect --type container --format "{{.OCIRuntime}}"' 2>/dev/null |
        grep -q "^/usr/lib/runc-wrap/bin/"
}

# Tells whether an engine's configuration, a task of containerd, a container in our ledger or of
# Podman, or a process still names a runtime in our bin.
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
    names_podman || names_process
}
