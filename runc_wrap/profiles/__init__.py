"""Seccomp profiles: formats, the engines' built-in ones as data, compiling and linting.

To begin with, by module:

    model             Profile, Rule, Condition, Argument; ProfileError is raised by everything here
    builtin           names() and load("containerd@1.7.24"): the profiles that engines apply
    formats           parse(data, source): a profile file, OCI's, moby's or containers/common's
    profile_files     read(path), beneath(directory), system(): the same from the disk, bounded
    compile           compile_profile(profile, arch=, kernel=)
    platform          goarch(), kernel(): what this node is, in the words that compiling wants
    lint              check(profile, context): what a runtime or libseccomp will make of a profile
    modes             a compiled profile in audit, observe and the other modes, and for fewer ABIs

The hot path imports nothing of this: it reads what compiling wrote.
"""
