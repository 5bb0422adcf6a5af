#!/bin/sh
# Installs runc-wrap in one directory, then runs real containers through it.
# Usage: install.sh [--prefix DIR]      default /opt/runc-wrap; no other user may write in it or above it
#                   [--quiet]           print nothing but failures
#                   [--dry-run]         say what would be done, and change nothing
#                   [--no-services]     install no units, where systemd runs
#                   [--python PROGRAM]  the interpreter, 3.11 to 3.14
#                   [--cc PROGRAM]      the C compiler
#                   [--index-url URL]   the index of Python packages; default: as in /etc/pip.conf
#                   [--find-links DIR]  take Python packages from a directory, without an index
# Run it again to upgrade: it installs the new release beside the old one, then switches to it. If a
# step fails, the release in force before is in force again. `runc-wrapctl uninstall` takes it back.
# In an unpacked release archive it needs no Python, compiler or index: it copies the release beside it.
# It takes only proxies from the caller's environment. It verifies packages by the hashes in requirements/.
set -eu

# A user who can set root's environment variables must not choose what root runs. So the script
# restarts itself with a clean environment. Before that it uses only special built-ins, which an
# exported function cannot replace.
case ${1-} in
    --in-clean-environment) shift ;;
    *)
        exec /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            LC_ALL=C.UTF-8 ${http_proxy+"http_proxy=$http_proxy"} \
            ${https_proxy+"https_proxy=$https_proxy"} ${no_proxy+"no_proxy=$no_proxy"} \
            ${HTTPS_PROXY+"HTTPS_PROXY=$HTTPS_PROXY"} ${NO_PROXY+"NO_PROXY=$NO_PROXY"} \
            /bin/sh -- "$0" --in-clean-environment "$@"
        ;;
esac

source=$(cd -- "$(dirname -- "$0")" && pwd)
default_prefix=/opt/runc-wrap
prefix=$default_prefix
python='' cc='' index_url='' find_links='' quiet='' dry_run='' no_services=''
archive=''  # the release that lies beside this script, if this is an unpacked archive
release='' in_step=''
advice='' # what to do if the step that runs fails
told=''   # the failure was told, or the program that was begun tells it

fail() {
    told=yes
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

say() {
    [ -n "$quiet" ] || printf '%s\n' "$1"
}

# Begins a step: what it does, and what to do if it fails.
step() {
    say "$1 ..."
    in_step=$1 advice=$2
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --help | -h) sed -n '2,/^set/s/^# \{0,1\}//p' "$source/install.sh"; exit 0 ;;
            --quiet) quiet=--quiet; shift; continue ;;
            --dry-run) dry_run=yes; shift; continue ;;
            --no-services) no_services=--no-services; shift; continue ;;
            --*=*) option=${1%%=*} value=${1#*=} ;;
            *) option=$1 value=${2-}; [ $# -eq 1 ] || shift ;;
        esac
        shift
        case $option in
            --prefix) prefix=$value ;;
            --python) python=$value ;;
            --cc) cc=$value ;;
            --index-url) index_url=$value ;;
            --find-links) find_links=$value ;;
            *) fail "unknown argument $option; --help lists the arguments" ;;
        esac
        [ -n "$value" ] || fail "$option needs a value; see --help"
    done
}

absolute() {
    case $1 in
        '' | /*) printf '%s\n' "$1" ;;
        *) printf '%s/%s\n' "$(pwd -P)" "$1" ;;
    esac
}

# Installs required Debian packages that are missing, before it takes the lock: a daemon that apt
# starts would keep that.
provide() {
    [ -z "$archive" ] && command -v apt-get >/dev/null ||
        fail "$1 is missing; install it and run install.sh again"
    if [ -n "$dry_run" ]; then
        say "would install Debian's packages $*"
        return
    fi
    step "Installing Debian's packages $*" "mend what apt-get said (sources, network, proxy, room on the disk), install $* by hand, or install from the release archive (runc-wrap-VERSION-linux-ARCH.tar.xz), which needs neither Python nor a compiler"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    in_step='' advice=''
}

is_usable() {
    "$1" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

# Refuses a damaged archive, and one for another kind of machine, before anything is changed.
find_archive() {
    for archive in "$source"/lib/releases/*; do
        [ -e "$archive/venv/bin/python" ] || { archive=''; return 0; }
        [ -z "$python$cc$index_url$find_links" ] ||
            fail "--python, --cc, --index-url and --find-links are for a checkout; leave them out"
        step 'Comparing the archive with its SHA256SUMS' 'unpack the archive again'
        (cd "$source" && sha256sum --status -c SHA256SUMS) ||
            fail "$source is not as it was packed; unpack the archive again"
        in_step='' advice=''
        python=$archive/venv/bin/python
        is_usable "$python" ||
            fail "the archive's interpreter does not run here ($(uname -m)); take the archive for it"
        return
    done
}

# Root executes nothing that others may replace: asked of each directory and link on the way, before.
ask_whose() {
    [ "$(id -u)" = 0 ] || return 0
    told=$(namei -m -o -- "$1" | awk 'NR > 1 && $1 !~ /^l/ &&
        ($2 != "root" || $1 ~ /^.(....w|.......w).*[^tT]$/)'; namei -- "$1" >/dev/null || echo unreadable)
    [ -z "$told" ] || fail "others may replace $1, which root would execute; chown and chmod go-w this, or name another program:
$told"
}

# Prefers the distribution's interpreter, because a developer's own may be removed.
find_python() {
    [ -z "$archive" ] || return 0
    if [ -n "$python" ]; then
        named=$python
        python=$(command -v "$named") || fail "there is no $named; name another with --python"
        ask_whose "$python"
        is_usable "$python" && return
        fail "$named is not Python 3.11 to 3.14; name another with --python"
    fi
    for python in /usr/bin/python3 python3; do
        python=$(command -v "$python") || continue
        ask_whose "$python"
        is_usable "$python" && return
    done
    provide python3
    python=/usr/bin/python3
    [ -z "$dry_run" ] || exit 0 # what comes then is said by Python
    is_usable "$python" || fail "$python is not Python 3.11 to 3.14; name another with --python"
}

find_compiler() {
    [ -z "$archive" ] || return 0
    for compiler in ${cc:-cc gcc}; do
        compiler=$(command -v "$compiler") || continue
        ask_whose "$compiler"
        return 0
    done
    [ -z "$cc" ] && command -v apt-get >/dev/null ||
        fail "there is no C compiler ${cc:-(cc or gcc)}; install one, or install from the release archive (runc-wrap-VERSION-linux-ARCH.tar.xz), which needs none"
    provide gcc libc6-dev musl-tools
}

find_rest() {
    [ -n "$archive" ] || "$python" -I -c 'import ensurepip' 2>/dev/null || provide python3-venv
    command -v runc >/dev/null || command -v crun >/dev/null || provide runc
}

# Nobody but root may change what root will run, or the directories above it.
check_ownership() {
    set -- "$prefix"
    [ -n "$archive" ] || set -- "$prefix" "$python" # an archive's own is only copied
    told=$(run_module host/ownership.py "$@") && return
    fail "other users can change what would be installed or run:
$told
chown and chmod go-w that, or choose another --prefix or --python"
}

# Runs a module that needs only the standard library: nothing is installed yet.
run_module() {
    module=$1
    shift
    for package in "$source/runc_wrap" "$archive"/venv/lib/python3*/site-packages/runc_wrap; do
        [ ! -d "$package" ] || break
    done
    "$python" -I -S -B "$package/$module" "$@"
}

# Resolves the prefix, and locks it against other installers.
take_prefix() {
    advice="$(room), or move away what is in the place of a directory"
    check_ownership
    mkdir -p "$prefix" && [ -w "$prefix" ] ||
        fail "$prefix cannot be written; run it as root, with that file system mounted writable"
    prefix=$(cd "$prefix" && pwd -P)
    mkdir -p "$prefix/bin" "$prefix/etc/conf.d" "$prefix/etc/profiles" "$prefix/lib/releases" \
        "$prefix/var"
    check_ownership # again: only now is everything there, and from here on only we can change it
    # Like runc_wrap/host/locks.py: a user who cannot open the file cannot hold the lock.
    lock=$prefix/var/lock
    [ -d "$lock" ] || mkdir -m 700 "$lock"
    chmod 700 "$lock"
    ! [ -L "$lock/install" ] || rm "$lock/install"
    umask 077
    exec 9>> "$lock/install"
    umask 022
    flock -n 9 || fail "another installation or removal works on $prefix; wait for it, or end it"
}

own_python() {
    "$release/venv/bin/python" -I "$@"
}

# Ignores the environment and the user's pip configuration; only the system-wide one counts. Where no
# index answers, three retries take 4 seconds, and pip's own five 16.
install_locked() {
    own_python -m pip --isolated --disable-pip-version-check --no-input --retries 3 install --quiet \
        ${index_url:+"--index-url=$index_url"} ${find_links:+--no-index "--find-links=$find_links"} \
        --require-hashes --no-deps --only-binary :all: --requirement "$source/requirements/$1"
}

# By the interpreter's own file: /usr/bin/python3 will lead to another version some day, which would
# not find this one's packages.
make_venv() {
    python=$("$python" -I -c 'import os, sys; print(os.path.realpath(sys.executable))')
    step "Making a virtual environment with $python" \
        "$(room), or name another interpreter with --python"
    "$python" -I -m venv "$release/venv"
    step 'Fetching Python packages and verifying their hashes' \
        'name an index that this node reaches (--index-url), a directory of packages (--find-links) or a proxy (https_proxy); or install from a release archive, which needs none'
    install_locked runtime.txt
    install_locked build.txt
}

# Fetches nothing: make_venv has fetched and verified what the build needs.
build_package() {
    step 'Building runc-wrap and its launcher' \
        "$(room), or name another compiler with --cc, or install from a release archive"
    mkdir "$release/source" # a copy, so that the build leaves nothing in the checkout; links lead out of it
    cp -RL "$source/pyproject.toml" "$source/setup.py" "$source/README.md" "$source/LICENSE" \
        "$source/NOTICE" "$source/runc_wrap" "$release/source/"
    env ${cc:+"CC=$cc"} "$release/venv/bin/python" -I -m pip --isolated \
        --disable-pip-version-check --no-input install --quiet --no-index --no-deps \
        --no-build-isolation "$release/source"
    rm -rf "$release/source"
    own_python -m pip --isolated --disable-pip-version-check --no-input uninstall --quiet --yes \
        setuptools # its .pth file would run at each start
}

# On a full disk cp says so of each of thousands of files.
copy_archive() {
    said=$(cp -R "$archive/." "$release" 2>&1) && return
    printf '%s\n' "$said" | sed -n 1,3p >&2
    return 1
}

# Says what would be done, as far as that is known before it is done.
describe() {
    told=yes # by dry_run.py
    [ -n "$archive" ] || say "would make a virtual environment with $python, fetch packages, build runc-wrap"
    [ -z "$archive" ] || say "would copy the release $archive"
    units=$source/deploy/systemd
    [ -z "$archive" ] || units=$archive/share/systemd
    run_module installation/dry_run.py --prefix "$prefix" --units "$units" $no_services
}

# What to do where a program could not write, which says so itself.
room() {
    printf 'make room where it says that there is none (df -h %s), mount it writable' "$prefix"
}

finish() {
    status=$?
    if [ $status != 0 ] && [ -z "$told" ]; then
        [ -n "$advice" ] || advice=$(room)
        [ $status -le 128 ] || advice='let it come to its end'
        printf 'install.sh: "%s" failed; what was in force before is in force. Try: %s; then run install.sh again.\n' \
            "${in_step:-"Preparing $prefix"}" "$advice" >&2
    fi
    [ -z "$release" ] || [ "$(readlink "$prefix/lib/current")" = "releases/${release##*/}" ] ||
        rm -rf "$release"
}

parse_arguments "$@"
umask 022
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# Resolves paths relative to the caller's directory, then leaves it, so that nothing is run from there.
prefix=$(absolute "$prefix") find_links=$(absolute "$find_links")
case $python in */*) python=$(absolute "$python") ;; esac
cd /
find_archive
find_python
find_compiler
find_rest
if [ -n "$dry_run" ]; then
    check_ownership
    describe
    exit
fi
take_prefix
release=$(mktemp -d "$prefix/lib/releases/$(date +%Y%m%d%H%M%S).XXXXXX")
chmod 755 "$release"
if [ -n "$archive" ]; then
    step 'Copying the release' "$(room)"
    copy_archive
else
    make_venv
    build_package
fi
in_step='' advice=''
own_python -c '' || fail "the interpreter in $prefix cannot be started; mount that without noexec (findmnt -T $prefix), or choose another --prefix"
set -- --prefix "$prefix" --release "$release" $quiet $no_services
[ -n "$archive" ] || set -- "$@" --checkout "$source"
told=yes # by the installer
own_python -m runc_wrap.installation.installer "$@"
