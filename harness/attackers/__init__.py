"""What a local user without any right can do."""
