"""Serves the seccomp listeners of containers in observe: reads each call, counts it, answers it.

A listener comes through handshake.py, and listeners.py serves it through notify.py. An inspector, a
process that may hang without harm, reads the callers' memory.
"""
