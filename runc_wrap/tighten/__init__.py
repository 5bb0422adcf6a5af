"""Adds a seccomp filter to every thread of every process of a container that already runs."""
