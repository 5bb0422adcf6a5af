"""The optional service: fast decisions, live evidence, metrics. Nothing depends on its running."""
