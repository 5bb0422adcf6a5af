"""Puts the policy in force on this node: gathers its facts, compiles, checks and switches."""
