"""What to write so that a workload keeps what it uses: a profile, a policy snippet."""
