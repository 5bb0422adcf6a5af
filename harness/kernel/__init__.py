"""What the kernel itself says: records, filters, traces. None of our own code judges here."""
