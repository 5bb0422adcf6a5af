"""Container engines of a test's own: directories, socket and storage are gone when it ends."""
