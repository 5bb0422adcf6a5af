"""A node for one test: an installation, its launcher, its agent, and the machine's programs."""
