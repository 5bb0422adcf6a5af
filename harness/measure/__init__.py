"""Timing side by side, and the arithmetic of it."""
