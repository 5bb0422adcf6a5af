#!/bin/sh
# boot.sh LOWER PLACE NAME: become process 1 of a system whose files are LOWER's, changed in PLACE.
# Run by `unshare --mount --propagation private --pid --fork --ipc --uts --net`: the mounts, the
# processes and the network end with it. NAME is the cgroup, of version 2, whatever else there is:
# systemd 258 and newer run with nothing else.
set -eu
lower=$1 place=$2 name=$3
root=$place/root
mount -t overlay box -o "lowerdir=$lower,upperdir=$place/upper,workdir=$place/work" "$root"

# In its own cgroup before it is in a namespace of cgroups, whose top that is.
mount -t cgroup2 none "$root/mnt"
mkdir -p "$root/mnt/$name"
echo 0 > "$root/mnt/$name/cgroup.procs"
umount "$root/mnt"

mount -t proc proc "$root/proc"
for part in sys sysrq-trigger; do # the kernel is the machine's
    [ -e "$root/proc/$part" ] || continue
    mount --bind "$root/proc/$part" "$root/proc/$part"
    mount -o remount,bind,ro "$root/proc/$part"
done
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do
    cp -a "/dev/$device" "$root/dev/"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${number%:*}" "$root/dev/${number#*:}"
done
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
cat /proc/sys/kernel/random/uuid > "$root/run/boot-id" # each boot is another one
mount --bind "$root/run/boot-id" "$root/proc/sys/kernel/random/boot_id"
for engine in docker containerd containers; do # no overlay lies upon another
    mkdir -p "$place/$engine" "$root/var/lib/$engine"
    mount --bind "$place/$engine" "$root/var/lib/$engine"
done

cd "$root"
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
exec unshare --cgroup /bin/sh -c 'mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd'
