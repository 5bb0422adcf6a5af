"""Checks of what executes containers: the real runtime, its libseccomp, and the kernel."""
