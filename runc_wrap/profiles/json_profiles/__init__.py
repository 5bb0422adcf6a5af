"""Profiles as JSON: the formats, reading them strictly, and the files on disk."""
