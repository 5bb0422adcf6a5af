"""Capturing the default profile that an engine of this node applies itself, by asking it."""
