"""A drop-in OCI runtime that confines every container by the runtime-default seccomp profile."""
