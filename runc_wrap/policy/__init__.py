"""The owner's settings: their schema, checking them, compiling them for the hot path.

settings/ reads them and defines what is valid, policy_compiler.py compiles them, policy_store.py
puts the result in force.
"""
