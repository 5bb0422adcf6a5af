"""Checks of the engines on this node: the handlers they know, and what they pass on."""
