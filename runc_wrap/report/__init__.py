"""Interprets the evidence: outcomes of calls, a verdict for each workload, and their presentation.

evidence_gathering.py gathers it, from the agent's store and the sources of source_selection.py;
call_outcomes.py finds what a call would get under enforce, verdict.py decides on the verdicts.
"""
