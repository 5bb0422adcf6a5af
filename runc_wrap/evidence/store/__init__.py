"""Evidence counted in memory and kept on disk, and how long the sources were watched."""
