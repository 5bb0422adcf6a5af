"""What the node's owner writes: its schema, and compiling it into what the hot path reads."""
