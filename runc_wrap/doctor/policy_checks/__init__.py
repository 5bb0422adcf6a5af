"""Checks of the policy in force, and what it can give to containers of this node."""
