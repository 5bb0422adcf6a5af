"""Attributes calls: to a container, to its runtime, to the host, or to nothing known.

process_tree.py follows processes live; cgroup_membership.py reads /proc for those not
followed.
"""
