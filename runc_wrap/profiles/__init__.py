"""Seccomp profiles: formats, the engines' built-in ones as data, resolving and linting."""
