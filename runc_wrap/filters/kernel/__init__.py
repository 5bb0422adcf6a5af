"""This node: its runtimes and engines, its containers, and whether the installation works."""
