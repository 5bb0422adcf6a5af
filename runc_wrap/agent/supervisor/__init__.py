"""Holds descriptors, starts the workers, and starts them anew: what an init system would do."""
