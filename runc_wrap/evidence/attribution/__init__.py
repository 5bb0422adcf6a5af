"""Whose call it was: a container's, a runtime's, the host's, or nobody's that is known."""
