"""Processes, namespaces, cgroups and files, with what a test does to them."""
