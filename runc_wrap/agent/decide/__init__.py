"""Answers launchers: one request, one decision."""
