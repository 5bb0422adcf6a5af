"""Serves runtimes' seccomp listeners: who calls what, and what is answered."""
