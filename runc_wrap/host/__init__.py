"""Reading the file system, /proc and the runtimes' states: each in one place, within bounds.

Also replacing files, locks, and work that other users can delay. Imports no profiles or policy.
"""
