"""The cluster's policy on a node: taken from the ConfigMaps, checked, put in force.

policy_files has the way to PREFIX/etc, which etc_files writes in an order that a kill may cut;
policy_trial says what another policy would change here.
"""
