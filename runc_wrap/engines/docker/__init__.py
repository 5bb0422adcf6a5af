"""What Docker reads, and what is asked of it."""
