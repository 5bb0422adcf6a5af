"""Shared by tests and bench: engines, containers, nodes, the kernel's own data."""
