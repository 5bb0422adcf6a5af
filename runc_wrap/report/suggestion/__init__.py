"""Suggestions that let a workload keep what it uses: a profile, a rule, an annotation."""
