"""What the file system, /proc and the runtimes' state say: each is read in one place, bounded."""
