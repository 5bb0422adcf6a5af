"""The owner's settings: their schema, checking them, compiling them for the hot path.

source.py reads them, schema.py and value_types.py define what is valid, policy_compiler.py compiles
them, policy_store.py puts the result in force.
"""
