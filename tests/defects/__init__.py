"""Defects of our own, kept as data, that show what the tests notice: defects.toml."""
