"""Seccomp profiles: reading them, the engines' built-in ones as data, compiling and linting.

The main modules:

    source_profile    Profile, Rule, Condition, Argument; ProfileError is raised by everything here
    builtin           names() and load("containerd@1.7.24"): the profiles that engines apply
    json_profiles     profile_parser.parse(data, source): a profile file, OCI's, moby's or
                      containers/common's; profile_files: the same from disk, bounded
    profile_compiler  compile_profile(profile, arch=, kernel=)
    platform          goarch(), kernel(): this node's, in the terms of the compiler
    profile_lint      checks on how runtimes and libseccomp interpret a profile; denial_lint: on
                      ways around what it denies
    mode_profiles     a compiled profile in audit, observe and the other modes, and for fewer ABIs

The hot path imports none of this: it reads only what profile_compiler wrote.
"""
