"""This machine: runtimes, engines and their configuration."""
