"""What the file system, /proc and the runtimes' state say: each is read in one place, bounded.

Also changing files, locks, and work that others can make wait. Knows nothing of profiles or policy.
"""
