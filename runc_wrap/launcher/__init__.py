"""What the engine executes. Nothing here is imported; install.sh puts it in place."""
