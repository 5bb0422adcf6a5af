"""What the node's owner writes: its schema, checking it, compiling it for the hot path.

source.py reads, schema.py and value_types.py say what may stand there, compiler.py puts it
together, policy_store.py puts it in force.
"""
