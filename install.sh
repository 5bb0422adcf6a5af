#!/bin/sh
# Installs runc-wrap beneath one directory, then runs real containers through it.
# Usage: install.sh [--prefix DIR]      default /opt/runc-wrap; no other user may write in it or above it
#                   [--python PROGRAM]  the interpreter, 3.11 to 3.14
#                   [--cc PROGRAM]      the C compiler
#                   [--index-url URL]   the index of Python packages; default: as in /etc/pip.conf
#                   [--find-links DIR]  take Python packages from a directory, without an index
# Run it again to upgrade: it installs the new release beside the old one, then switches to it.
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
python='' cc='' index_url='' find_links=''
archive='' # the release that lies beside this script, if this is an unpacked archive

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

say() {
    printf '%s ...\n' "$1"
}

usage() {
    sed -n '2,/^set/s/^# \{0,1\}//p' "$source/install.sh"
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --help | -h) usage; exit 0 ;;
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

# Resolves paths relative to the caller's directory, then leaves it, so that nothing is run from there.
leave_directory() {
    prefix=$(absolute "$prefix") find_links=$(absolute "$find_links")
    case $python in */*) python=$(absolute "$python") ;; esac
    cd /
}

absolute() {
    case $1 in
        '' | /*) printf '%s\n' "$1" ;;
        *) printf '%s/%s\n' "$(pwd -P)" "$1" ;;
    esac
}

# Installs a required Debian package that is missing.
provide() {
    [ -z "$archive" ] && command -v apt-get >/dev/null ||
        fail "$1 is missing; install it and run install.sh again"
    say "Installing Debian's package $1"
    apt-get update -qq 9>&-
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" 9>&- >/dev/null
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
        say 'Comparing the archive with its SHA256SUMS'
        (cd "$source" && sha256sum --status -c SHA256SUMS) ||
            fail "$source is not as it was packed; unpack the archive again"
        python=$archive/venv/bin/python
        is_usable "$python" ||
            fail "the archive's interpreter does not run here ($(uname -m)); take the archive for it"
        return
    done
}

# Prefers the distribution's interpreter, because a developer's own may be removed.
find_python() {
    [ -z "$archive" ] || return 0
    if [ -n "$python" ]; then
        named=$python
        python=$(command -v "$named") && is_usable "$python" && return
        fail "$named is not Python 3.11 to 3.14; name another with --python"
    fi
    for python in /usr/bin/python3 python3; do
        python=$(command -v "$python") && is_usable "$python" && return
    done
    provide python3
    python=/usr/bin/python3
    is_usable "$python" || fail "$python is not Python 3.11 to 3.14; name another with --python"
}

# Nobody but root may change what root will run, or the directories above it.
check_ownership() {
    set -- "$prefix"
    [ -n "$archive" ] || set -- "$prefix" "$python" # an archive's own is only copied
    told=$(look_at_ownership "$@") && return
    fail "other users can change what would be installed or run:
$told
chown and chmod go-w that, or choose another --prefix or --python"
}

look_at_ownership() {
    for package in "$source/runc_wrap" "$archive"/venv/lib/python3*/site-packages/runc_wrap; do
        [ ! -d "$package" ] || break
    done
    "$python" -I -S -B "$package/host/ownership.py" "$@"
}

# Resolves the prefix, and locks it against other installers.
take_prefix() {
    check_ownership
    mkdir -p "$prefix" && [ -w "$prefix" ] || fail "$prefix cannot be written; run it as root"
    prefix=$(cd "$prefix" && pwd -P)
    mkdir -p "$prefix/bin" "$prefix/etc/conf.d" "$prefix/etc/profiles" "$prefix/lib/releases" \
        "$prefix/var"
    check_ownership # again: only now is everything there, and from here on only we can change it
    take_lock "$prefix/var/lock"
}

# Like runc_wrap/host/locks.py: a user who cannot open the file cannot hold the lock.
take_lock() {
    [ -d "$1" ] || mkdir -m 700 "$1"
    chmod 700 "$1"
    ! [ -L "$1/install" ] || rm "$1/install"
    umask 077
    exec 9>> "$1/install"
    umask 022
    flock -n 9 || fail "$(holder "$1/install") is working on $prefix already; wait for it, or end it"
}

holder() {
    inode=$(stat -c %i "$1")
    while read -r _ kind _ _ pid where _; do
        case $kind$where in
            FLOCK*:"$inode")
                name=$(tr -cd '[:alnum:]._-' < "/proc/$pid/comm" || :)
                printf '%s (pid %s)' "${name:-another process}" "$pid"
                return
                ;;
        esac
    done < /proc/locks
    printf 'another install.sh'
}

own_python() {
    "$release/venv/bin/python" -I "$@"
}

# Ignores the environment and the user's pip configuration; only the system-wide one counts.
install_locked() {
    own_python -m pip --isolated --disable-pip-version-check --no-input install --quiet \
        ${index_url:+"--index-url=$index_url"} ${find_links:+--no-index "--find-links=$find_links"} \
        --require-hashes --no-deps --only-binary :all: --requirement "$source/requirements/$1"
}

make_venv() {
    "$python" -I -c 'import ensurepip' 2>/dev/null || provide python3-venv
    say "Making a virtual environment with $python"
    "$python" -I -m venv "$release/venv"
    say 'Fetching Python packages and verifying their hashes'
    install_locked runtime.txt
    install_locked build.txt
}

# Fetches nothing: make_venv has fetched and verified what the build needs.
build_package() {
    say 'Building runc-wrap and its launcher'
    mkdir "$release/source" # a copy, so that the build leaves nothing in the checkout
    cp -R "$source/pyproject.toml" "$source/setup.py" "$source/README.md" "$source/LICENSE" \
        "$source/NOTICE" "$source/runc_wrap" "$release/source/"
    env ${cc:+"CC=$cc"} "$release/venv/bin/python" -I -m pip --isolated \
        --disable-pip-version-check --no-input install --quiet --no-index --no-deps \
        --no-build-isolation "$release/source"
    rm -rf "$release/source"
    own_python -m pip --isolated --disable-pip-version-check --no-input uninstall --quiet --yes \
        setuptools # its .pth file would run at each start
    write_command "$release/venv/bin/runc-wrapctl"
}

# The script that pip writes would obey PYTHONPATH. A #! line may have 127 bytes in every kernel
# version, and no blanks in the interpreter's path.
write_command() {
    interpreter=$release/venv/bin/python
    case $interpreter in
        *[[:space:]]*) long=yes ;;
        *) [ ${#interpreter} -le 120 ] && long='' || long=yes ;;
    esac
    quoted=$(printf '%s\n' "$interpreter" | sed "s/'/'\\\\''/g")
    {
        if [ -n "$long" ]; then
            printf "#!/bin/sh\nexec '%s' -I -c '%s' \"\$0\" \"\$@\"\n" "$quoted" \
                'import sys; sys.argv[:1] = []; from runc_wrap.cli.entry_point import start; start()'
        else
            printf '#!%s -I\nfrom runc_wrap.cli.entry_point import start\n\nstart()\n' "$interpreter"
        fi
    } > "$1"
    chmod 755 "$1"
}

# Copies what runs at every create to its own directory, so that nothing else can be imported.
copy_hot_path() {
    packages=$(own_python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    mkdir -p "$release/hotpath/runc_wrap"
    cp "$packages/runc_wrap/launcher/cold.py" "$release/hotpath/"
    cp "$packages/runc_wrap/__init__.py" "$release/hotpath/runc_wrap/"
    cp -R "$packages/runc_wrap/hotpath" "$release/hotpath/runc_wrap/"
    cp -R "$packages/orjson" "$release/hotpath/"
    own_python -m compileall -q "$release/hotpath"
    own_python -S -B -X no_debug_ranges "$packages/runc_wrap/launcher/pack_hotpath.py" "$release/hotpath"
    ln -s "$(own_python -c 'import os, sys; print(os.path.realpath(sys.executable))')" \
        "$release/python"
}

# The hooks lie in the release, so that they change together with the code that they import.
# PREFIX/hooks is a link.
name_hooks() {
    own_python - "$prefix" "$release"/hooks/*.d/*.json <<'END'
import json, pathlib, sys
for path in map(pathlib.Path, sys.argv[2:]):
    definition = json.loads(path.read_text())
    program = definition["hook"]["path"].removeprefix("/opt/runc-wrap")
    definition["hook"]["path"] = sys.argv[1] + program
    path.write_text(json.dumps(definition, indent=4) + "\n")
END
}

# Takes the launcher that the package's build compiled, or the shell script if it could not.
make_launcher() {
    launcher=$packages/runc_wrap/launcher
    if [ -x "$launcher/runc-wrap" ]; then
        cp "$launcher/runc-wrap" "$release/runc-wrap"
        return
    fi
    printf 'The launcher is a shell script, which takes some milliseconds more per call and does '
    printf 'not ask the agent, because '
    cat "$launcher/not-built"
    cp "$launcher/not-built" "$release/" # for runc-wrapctl doctor
    quoted=$(printf '%s\n' "$prefix" | sed "s/'/'\\\\''/g")
    {
        printf "#!/bin/sh\nprefix='%s'\n" "$quoted"
        cat "$launcher/launcher.sh"
    } > "$release/runc-wrap"
    chmod 755 "$release/runc-wrap"
}

switch_link() {
    ln -sfn "$1" "$2.new"
    mv -fT "$2.new" "$2"
}

# At every moment a create finds either the complete old release or the complete new one. The
# previous release is kept for running creates. Nothing outside our directory of releases is removed.
# The launcher comes after its release: cold.py understands the launcher of the release before.
switch_release() {
    previous=$(readlink "$prefix/lib/current" || :)
    cp "$release/runc-wrap" "$prefix/bin/runc-wrap.new"
    sync -f "$release" # a power failure after the switch must not leave empty files
    switch_link "releases/${release##*/}" "$prefix/lib/current"
    mv -f "$prefix/bin/runc-wrap.new" "$prefix/bin/runc-wrap"
    switch_link ../lib/current/venv/bin/runc-wrapctl "$prefix/bin/runc-wrapctl"
    switch_link lib/current/hooks "$prefix/hooks"
    for old in "$releases"/[0-9]*.??????; do
        case ${old##*/} in
            "${release##*/}" | "${previous##*/}") ;;
            *) rm -rf "$old" ;;
        esac
    done
}

link_commands() {
    [ "$prefix" = "$default_prefix" ] || return 0
    mkdir -p /usr/local/bin
    if look_at_ownership "$prefix" /usr/local/bin; then
        ln -sf "$prefix/bin/runc-wrap" "$prefix/bin/runc-wrapctl" /usr/local/bin/
    else
        printf 'So the commands are not linked there; call them in %s.\n' "$prefix/bin"
    fi
}

parse_arguments "$@"
umask 022
leave_directory
find_archive
find_python
take_prefix
command -v runc >/dev/null || command -v crun >/dev/null || provide runc
releases=$prefix/lib/releases
release=$(mktemp -d "$releases/$(date +%Y%m%d%H%M%S).XXXXXX")
chmod 755 "$release"
trap '[ "$(readlink "$prefix/lib/current")" = "releases/${release##*/}" ] || rm -rf "$release"' EXIT
if [ -n "$archive" ]; then
    say 'Copying the release'
    cp -R "$archive/." "$release"
else
    make_venv
    build_package
    copy_hot_path
    cp -R "$source/hooks" "$release/hooks"
    make_launcher
fi
name_hooks
say 'Compiling the policy'
"$release/venv/bin/runc-wrapctl" --prefix "$prefix" apply
say 'Switching to the new release'
switch_release
link_commands
printf '\nrunc-wrap is installed in %s. Three containers and their seccomp state in the kernel:\n' "$prefix"
"$prefix/bin/runc-wrapctl" selftest 9>&-
