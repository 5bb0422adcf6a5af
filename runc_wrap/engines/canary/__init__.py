"""The canary, a container that proves a handler: what it runs, and what it has to show.

transaction/engine_access.py starts it, by each engine's own API. Nothing is pulled for it.
"""
