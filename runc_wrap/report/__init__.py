"""What the evidence means: outcomes and verdicts for each workload, and how they are shown."""
