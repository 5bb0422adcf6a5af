"""A profile as the kernel runs it: loaded, simulated, read back from processes and compared."""
