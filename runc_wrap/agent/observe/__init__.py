"""Serves the seccomp listeners of containers in observe: reads each call, counts it, answers it.

A listener comes by handshake.py, is served by listeners.py through notify.py; what must be read out
of a caller's memory is asked of the inspector, a process that may hang without harm.
"""
