# The program that engines execute if launcher.c could not be compiled: the same in POSIX sh.
# install.sh writes the first lines: "#!/bin/sh" and prefix='DIR'; the build has filled in each
# @NAME@ (shared_words.py).
# Differences to launcher.c: it takes some milliseconds more; it neither asks the agent, so that
# every create starts Python, nor sends it a notice of an exec; it writes nothing to the engine's
# log; the shell adds PWD to the environment and drops variables whose names are not identifiers.

fail() {
    printf 'runc-wrap: %s\n' "$1" >&2
    exit 1
}

search() {
    for directory in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
        runtime=$directory/$1
        if [ -x "$runtime" ] && ! [ "$runtime" -ef "$0" ]; then
            kind=$1
            return 0
        fi
    done
    kind='' runtime=''
    return 1
}

find_runtime() {
    for name in runc crun; do
        [ -L "$prefix/lib/runtime/$name" ] || continue
        applied=$(/usr/bin/readlink "$prefix/lib/runtime/$name")
        kind=$name runtime=$applied
        if [ "$runtime" -ef "$0" ]; then
            kind=self
        elif ! [ -x "$runtime" ] && ! search "$name"; then
            kind=$name runtime=$applied
        fi
        return
    done
    search runc || search crun || :
}

# Refuse a create that cannot be decided, or start it unmodified if the owner chose so.
give_up() {
    reason=$1
    shift
    case $kind in
        runc | crun) [ ! -e "$unmodified" ] || exec "$runtime" "$@" ;;
    esac
    fail "$reason"
}

start_python() {
    release=$prefix/lib/$(/usr/bin/readlink "$prefix/lib/current") ||
        give_up "there is no $prefix/lib/current; run install.sh again." "$@"
    python=$(/usr/bin/readlink "$release/python") ||
        give_up "there is no $release/python; run install.sh again." "$@"
    case $python in /*) ;; *) python=$release/$python ;; esac
    [ -x "$python" ] ||
        give_up "the interpreter $python cannot be executed; run install.sh again." "$@"
    if [ -e "$unmodified" ]; then # one more start, only if the owner chose so
        "$python" -I -S -B -X utf8 "$release/hotpath/cold.py" < /dev/null > /dev/null 2>&1 ||
            give_up "the interpreter $python does not start; run install.sh again." "$@"
    fi
    ignored=''
    while read -r name mask; do
        [ "$name" = SigIgn: ] || continue
        [ $((0x$mask >> 12 & 1)) = 0 ] || ignored=p$ignored # SIGPIPE is 13
        [ $((0x$mask >> 24 & 1)) = 0 ] || ignored=${ignored}x # SIGXFSZ is 25
    done < /proc/self/status
    exec "$python" -I -S -B -X utf8 "$release/hotpath/cold.py" --prefix "$prefix" --kind "$kind" \
        --runtime "$runtime" --called-as "$0" --ignored "$ignored" \
        --locale "${LC_CTYPE+=$LC_CTYPE}" -- "$@"
}

unmodified=$prefix/var/policy.@POLICY_FORM@/current/run-unmodified
find_runtime
before=''
for word in "$@"; do
    case $word in
        @EDITED_COMMANDS@) start_python "$@" ;;
        @OTHER_COMMANDS@)
            # after a flag it may be the flag's value, unless that flag takes none
            name=${before#-}
            case ${name#-} in
                @FLAGS_WITHOUT_VALUE@) break ;;
            esac
            case $before in
                -*=*) break ;;
                -*) ;;
                *) break ;;
            esac
            ;;
    esac
    before=$word
done
[ "$kind" != self ] || fail "its runtime $runtime is runc-wrap itself; name the real one in \
$prefix/etc/config.toml and run \`runc-wrapctl apply\`."
[ -n "$runtime" ] || fail "no runc or crun is found; install one."
[ -x "$runtime" ] || fail "the runtime $runtime cannot be executed."
exec "$runtime" "$@"
