# Removes what the package's scripts have made, but for names that lead to the real runtime
# (leave-path).
remove_rest() {
    prefix=/usr/lib/runc-wrap
    rm -rf $prefix/lib
    for name in $prefix/bin/*; do
        case $(readlink "$name" || :) in
            /*) ;;
            *) rm -f "$name" ;;
        esac
    done
    rmdir $prefix/bin $prefix 2>/dev/null || :
}
