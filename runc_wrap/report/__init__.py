"""Interprets the evidence: outcomes of calls, a verdict for each workload, and their presentation.

node_evidence.py gathers it, outcomes.py finds what a call would get under enforce, verdict.py
decides on the verdicts.
"""
