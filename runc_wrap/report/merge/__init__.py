"""One report from those of many nodes: documents in, workloads of the whole fleet out.

document_stream.py splits what is read, node_document.py checks one node's document, fleet_report.py
adds it up. Documents come from nodes that may be hostile: each is bounded, and what is wrong with
one is a sentence about that node, never an error of the whole.
"""
