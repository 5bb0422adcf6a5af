"""The cluster's policy on a node: taken from the ConfigMaps, checked, put in force.

configmap_policy has the files as they are sent, policy_directory their way into force; policy_trial
says what another policy would change here.
"""
