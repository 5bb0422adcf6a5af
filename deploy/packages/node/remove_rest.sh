# Removes what the package's scripts have made. A link to the real runtime, and those of handlers
# beside it, stay as long as something needs them (leave-path).
remove_rest() {
    prefix=/usr/lib/runc-wrap
    if [ -L $prefix/bin/runc-wrap ] && [ -n "$(who_needs_it)" ]; then
        rm -rf $prefix/lib
    else
        rm -rf $prefix
    fi
}
