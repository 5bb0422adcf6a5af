"""Measuring what runc-wrap costs. `make bench` runs it; nothing of the product imports it."""
