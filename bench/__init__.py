"""Measuring what runc-wrap costs. `make bench` runs it; the product does not import it."""
