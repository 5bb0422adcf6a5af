"""What a local user without any privilege can do."""
