"""Takes records as they come, brings them to disk, and checks that they do come."""
