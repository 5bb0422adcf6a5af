"""What is known of the containers that exist: their processes, decisions and filters."""
