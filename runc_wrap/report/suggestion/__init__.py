"""What to write so that a workload keeps what it uses: an addition to a profile, a policy snippet."""
