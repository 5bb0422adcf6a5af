#!/bin/sh
# Installs runc-wrap beneath one directory and ends by running a real container through it.
# Usage: install.sh [--prefix DIR]   (default /opt/runc-wrap)
#        PYTHON=/path/to/python3 install.sh   to choose the interpreter (3.11 or newer)
# Run it again to upgrade: the new release is put in place beside the old one, then switched to.
set -eu

source=$(cd "$(dirname "$0")" && pwd)
default_prefix=/opt/runc-wrap
prefix=$default_prefix

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --prefix) prefix=${2:-}; shift; [ $# -eq 0 ] || shift ;;
            --prefix=*) prefix=${1#--prefix=}; shift ;;
            --help | -h) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
            *) fail "unknown argument $1; there is --prefix DIR" ;;
        esac
        [ -n "$prefix" ] || fail "--prefix needs a directory"
    done
}

# One spelling of the directory, and one installer at a time.
take_prefix() {
    mkdir -p "$prefix" && [ -w "$prefix" ] || fail "$prefix cannot be written; run it as root"
    prefix=$(cd "$prefix" && pwd -P)
    exec 9> "$prefix/.install.lock"
    flock -n 9 || fail "another install.sh is working on $prefix"
}

# Debian's own packages, where something that cannot be missed is missing.
provide() {
    command -v apt-get >/dev/null || fail "$1 is missing; install it and run install.sh again"
    printf 'Installing %s\n' "$1"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

is_usable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# The distribution's interpreter first: it is the one that stays when a developer's goes.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        python=$(command -v "$PYTHON") && is_usable "$python" && return
        fail "$PYTHON is no Python of 3.11 or newer"
    fi
    for python in /usr/bin/python3 python3; do
        python=$(command -v "$python") && is_usable "$python" && return
    done
    provide python3
    python=/usr/bin/python3
    is_usable "$python" || fail "$python is older than 3.11; name a newer one in PYTHON"
}

make_venv() {
    "$python" -c 'import ensurepip' 2>/dev/null || provide python3-venv
    "$python" -m venv "$release/venv"
    mkdir "$release/source" # a copy, so that the build leaves nothing in the checkout
    cp -R "$source/pyproject.toml" "$source/setup.py" "$source/README.md" "$source/runc_wrap" \
        "$release/source/"
    "$release/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$source/constraints.txt" "$release/source"
    rm -rf "$release/source"
}

# What runs at every create lies apart, so that nothing else can be imported there.
copy_hot_path() {
    packages=$("$release/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
    mkdir -p "$release/hotpath/runc_wrap"
    cp "$packages/runc_wrap/launcher/cold.py" "$release/hotpath/"
    cp "$packages/runc_wrap/__init__.py" "$release/hotpath/runc_wrap/"
    cp -R "$packages/runc_wrap/hotpath" "$release/hotpath/runc_wrap/"
    cp -R "$packages/orjson" "$release/hotpath/"
    "$release/venv/bin/python" -m compileall -q "$release/hotpath"
    "$release/venv/bin/python" -I -S -B "$packages/runc_wrap/launcher/packing.py" "$release/hotpath"
    ln -s "$("$release/venv/bin/python" -c 'import os, sys; print(os.path.realpath(sys.executable))')" \
        "$release/python"
}

# In the release, so that hooks and what they import change at once. PREFIX/hooks is a link.
copy_hooks() {
    cp -R "$source/hooks" "$release/hooks"
    PREFIX=$prefix "$release/venv/bin/python" - "$release"/hooks/*.d/*.json <<'END'
import json, os, pathlib, sys
for path in map(pathlib.Path, sys.argv[1:]):
    definition = json.loads(path.read_text())
    program = definition["hook"]["path"].removeprefix("/opt/runc-wrap")
    definition["hook"]["path"] = os.environ["PREFIX"] + program
    path.write_text(json.dumps(definition, indent=4) + "\n")
END
}

# The package's build made it, or says why not.
make_launcher() {
    launcher=$packages/runc_wrap/launcher
    if [ -x "$launcher/runc-wrap" ]; then
        cp "$launcher/runc-wrap" "$release/runc-wrap"
        return
    fi
    printf 'The launcher is a shell script, which costs some milliseconds a call and does not ask '
    printf 'the agent, because '
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

# Every create in between finds either the old release whole or the new one. The release before is
# kept for creates under way; only what lies in our own directory of releases is ever removed.
switch_release() {
    previous=$(readlink "$prefix/lib/current" || :)
    cp "$release/runc-wrap" "$prefix/bin/runc-wrap.new"
    sync -f "$release" # a power cut behind the switch must not leave empty files there
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
    ln -sf "$prefix/bin/runc-wrap" "$prefix/bin/runc-wrapctl" /usr/local/bin/
}

parse_arguments "$@"
umask 022
take_prefix
find_python
command -v runc >/dev/null || command -v crun >/dev/null || provide runc
mkdir -p "$prefix/bin" "$prefix/etc/conf.d" "$prefix/etc/profiles" "$prefix/var"
releases=$prefix/lib/releases
mkdir -p "$releases"
release=$(mktemp -d "$releases/$(date +%Y%m%d%H%M%S).XXXXXX")
chmod 755 "$release"
trap '[ "$(readlink "$prefix/lib/current")" = "releases/${release##*/}" ] || rm -rf "$release"' EXIT
make_venv
copy_hot_path
copy_hooks
make_launcher
"$release/venv/bin/runc-wrapctl" --prefix "$prefix" apply
switch_release
link_commands
printf '\nrunc-wrap is installed in %s. Three containers, and what the kernel says of them:\n' "$prefix"
"$prefix/bin/runc-wrapctl" selftest
