"""The cluster's policy on a node: taken from the ConfigMaps, checked, put in force, tried.

policy_files    the mounted files, the candidate, and what the cluster wrote to PREFIX/etc
etc_files       writing PREFIX/etc in an order that a kill may cut
policy_trial    what the node would do with another policy, for `policy check`
"""
