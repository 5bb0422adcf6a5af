"""Serves the metrics over HTTP, on loopback or a unix socket, while the agent never waits."""
