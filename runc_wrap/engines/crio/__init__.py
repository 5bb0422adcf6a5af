"""What CRI-O reads, and what is asked of it."""
