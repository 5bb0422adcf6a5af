"""Registering a handler with an engine and removing it: a plan first, which is then carried out.

registration_state.py is what we know of it afterwards, and what the undo needs.
"""
