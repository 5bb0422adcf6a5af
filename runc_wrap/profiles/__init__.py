"""Seccomp profiles: formats, the engines' built-in ones as data, compiling and linting.

The public interface, by module:

    model      Profile, Rule, Condition, Argument; ProfileError is raised by everything here
    builtin    names() and load("containerd@1.7.24"): the profiles that engines apply by default
    formats    parse(data, source): a profile file, OCI's, moby's or containers/common's
    files      read(path), beneath(directory), system(): the same from the disk, bounded
    compiling  compile_profile(profile, arch=, kernel=)
    machine    goarch(), kernel(): what this node is, in the words that compiling wants
    lint       check(profile, context): what a runtime or libseccomp will make of a profile

Nothing here is imported by the hot path, which reads only what `compiling` wrote.
"""
