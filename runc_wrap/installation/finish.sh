#!/bin/sh
# Ends `runc-wrapctl uninstall`, which puts this in its own place and becomes it: it removes the
# program that would remove it. If this is killed, runc-wrapctl is this script, and ends it. It
# removes nothing that is not runc-wrap's: a prefix may be shared. Settings and records stay, without
# --purge.
set -eu
purges='' # `uninstall --purge` writes: yes
quiet=${1-}
PATH=/usr/sbin:/usr/bin:/sbin:/bin
own=$(readlink -f -- "$0")
bin=${own%/*}
prefix=${bin%/*}
if [ "$own" != "$prefix/bin/runc-wrapctl" ]; then
    printf '%s is run by `runc-wrapctl uninstall` only\n' "$own" >&2
    exit 2
fi
cd -- "$prefix"
rm -f hooks bin/.runc-wrapctl.finish.new
names='agent capture changes cluster engines proofs transactions'
records='captured evidence ledger metrics'
[ -z "$purges" ] || names="$names $records"
for name in $names; do
    rm -rf "var/$name"
done
for name in $records; do
    rmdir "var/$name"/* "var/$name" 2>/dev/null || : # if they are empty
done
rm -rf var/policy.* var/canary-* var/runc-wrap-selftest-* lib/releases/[0-9]*
rm -f lib/current lib/runtime/runc lib/runtime/crun lib/installation.json lib/.installation.json.* lib/.installing.json.*
rm -rf var/lock # not before: the lock keeps an install.sh away meanwhile
for directory in etc/conf.d etc/profiles etc var lib/releases lib/runtime lib; do
    [ -L "$directory" ] || [ ! -d "$directory" ] || rmdir --ignore-fail-on-non-empty "$directory"
done
link=/usr/local/bin/runc-wrapctl
[ "$(readlink -- "$link" || :)" != "$own" ] || rm -f -- "$link" || : # rm says why not
rm -f -- "$own"
rmdir --ignore-fail-on-non-empty bin
cd /
rmdir --ignore-fail-on-non-empty -- "$prefix"
[ "$quiet" != --quiet ] || exit 0
[ ! -d "$prefix" ] || printf 'left, as it is not empty: %s\n' "$prefix"
printf 'runc-wrap is removed.\n'
