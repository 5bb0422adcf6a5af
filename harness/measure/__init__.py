"""Timing variants side by side, and the arithmetic."""
