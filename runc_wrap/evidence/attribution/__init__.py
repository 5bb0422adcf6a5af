"""Whose call it was: from a record's process to a container, a runtime, the host or nobody known."""
