"""Registering a handler with an engine and removing it: a plan first, then its execution.

registration_state.py is what we know of it afterwards, and what the undo needs.
"""
