"""Changing an engine's configuration as a transaction: proved by a canary, or taken back whole.

steps.py tells it from top to bottom; journal.py is what a kill or a power cut leaves to read, and
unfinished.py deals with that. The engine is asked and its canary started in engine_access.py, and
restarted in unit_control.py.
"""
