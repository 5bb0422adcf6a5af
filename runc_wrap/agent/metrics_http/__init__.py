"""Serves the metrics over HTTP on loopback or a socket."""
