"""The canary, a container that proves a handler: what it runs, and what it has to show.

Each engine's class starts it, by that engine's own API. Nothing is pulled for it.
"""
