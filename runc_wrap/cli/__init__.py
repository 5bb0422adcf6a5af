"""runc-wrapctl: one module for each command, which parses, calls a lower room, and prints."""
