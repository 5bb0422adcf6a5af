"""This machine: its runtimes and engines, its containers, and whether what was installed works."""
