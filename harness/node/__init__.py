"""A node of a test's own: an installation, its launcher, its agent, and what the machine has."""
