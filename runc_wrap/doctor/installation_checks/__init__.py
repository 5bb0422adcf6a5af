"""Checks of the installation: its launcher, its owner, and the directories it writes to."""
