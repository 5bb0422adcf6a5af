"""What containerd reads, by version and distribution, and where a handler goes in it."""
