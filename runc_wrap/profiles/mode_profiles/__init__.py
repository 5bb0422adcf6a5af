"""A profile for each mode: audit, enforce-log and observe, derived from the rules of enforce."""
