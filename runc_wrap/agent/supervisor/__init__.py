"""Holds descriptors, starts the workers and starts them again: what an init system would do.

The keeper accepts runtimes' connections and stores what workers have open, so that a worker, or a
newer release, goes on where the last one stopped.
"""
