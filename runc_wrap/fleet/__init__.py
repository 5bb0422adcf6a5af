"""Asks every node of a Kubernetes cluster, as whoever calls: by their kubectl and its rights.

kubectl.py runs it, node_list.py reads what it lists, node_queries.py asks a few nodes at a
time. What nodes answer is merged by report.merge; no node is trusted to say which one it is.
"""
