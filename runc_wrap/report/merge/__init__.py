"""One report from those of many nodes: documents in, workloads of the whole fleet out.

document_stream.py splits what is read, node_document.py checks one node's document, fleet_report.py
and merged_workload.py add it up; the report of this node is one of a single node. Documents come
from nodes that may be hostile: each is bounded, and what is wrong with one is a sentence about that
node, never an error of the whole.
"""
