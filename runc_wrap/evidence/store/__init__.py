"""What was seen, counted and kept: one set of evidence for each agent, and what it did not watch."""
