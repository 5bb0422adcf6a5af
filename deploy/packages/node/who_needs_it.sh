# Prints a line for each configuration, container or process that still names a runtime in our bin.
who_needs_it() {
    bin=/usr/lib/runc-wrap/bin
    grep -rlsF $bin/ /etc/containerd /etc/docker /etc/containers /etc/crio \
        /var/lib/rancher/*/agent/etc/containerd || :
    for bundles in /run/containerd /run/docker/containerd /run/k3s/containerd; do
        grep -lsF $bin/ $bundles/io.containerd.runtime.v2.task/*/*/options.json || :
    done
    for process in /proc/[0-9]*; do
        { tr '\0' '\n' < "$process/cmdline"; } 2>/dev/null | grep "^$bin/" |
            grep -qv "^$bin/runc-wrapctl$" && printf '%s\n' "$process"
    done || :
}
