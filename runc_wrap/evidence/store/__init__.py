"""What was seen, counted and kept on disk, and when nothing watched."""
