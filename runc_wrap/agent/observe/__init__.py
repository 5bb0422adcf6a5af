"""Serves the seccomp listeners of containers in observe: reads each call, counts it, answers it.

A listener comes with a message (listener_handover.py), and listeners.py serves it through
seccomp_unotify.py. An inspector, a process that may hang without harm, reads the callers' memory.
"""
