"""Gathers records and writes what was seen."""
