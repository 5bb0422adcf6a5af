"""Bundles, the runtimes that run them, and the calls that are made in them."""
