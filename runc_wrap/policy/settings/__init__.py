"""What the owner writes: each setting, reading and checking them all, and what they mean."""
