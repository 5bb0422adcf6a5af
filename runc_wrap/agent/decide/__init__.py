"""Answers launchers: one request, one decision, made by the hot path's own code."""
