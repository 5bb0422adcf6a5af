"""What the evidence means: outcomes and a verdict for each workload, and how they are shown.

node_evidence.py gathers, outcomes.py says what a call would get under enforce, verdict.py judges.
"""
