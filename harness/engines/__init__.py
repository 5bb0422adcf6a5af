"""Container engines for one test: directories, socket and storage are gone when it ends."""
