"""What of the archive is ours beside runc-wrap itself: each file goes to a node as it is."""
