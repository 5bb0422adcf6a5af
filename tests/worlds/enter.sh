#!/bin/sh
# enter.sh ROOT SOURCE SCRATCH COMMAND...: run a command where ROOT is the root directory, SOURCE is
# /src (and the working directory), and SCRATCH is /tmp. Run by `unshare --mount --propagation
# private`: the mounts are this namespace's, and end with the last process in it.
#
# pivot_root and not chroot: who joins this namespace by nsenter, as tests and engines do, comes to
# its root directory, and not to the machine's. The pids stay the machine's: audit and the process
# connector speak of those.
set -eu
root=$1 source=$2 scratch=$3
shift 3
mount --bind "$root" "$root"
mkdir -p "$root/src" "$root/.outside"
mount --bind "$source" "$root/src"
mount --bind "$scratch" "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 run "$root/run"
cd "$root"
pivot_root . .outside
umount -l /.outside
cd /src
exec "$@"
