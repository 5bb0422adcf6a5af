"""Whose call it was: a container's, a runtime's, the host's, or nobody's that is known.

process_tree.py follows processes live; proc_lookup.py asks /proc where nothing followed them.
"""
