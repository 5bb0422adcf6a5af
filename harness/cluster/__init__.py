"""A cluster as kubectl sees it."""
