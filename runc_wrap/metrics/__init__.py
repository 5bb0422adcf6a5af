"""The node's state as Prometheus series, counted once and never backwards."""
