"""What was seen: counted in memory, kept on disk, and how long somebody watched."""
